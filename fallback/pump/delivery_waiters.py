"""Tells those who wait what became of the records that they appended."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from heapq import heappop, heappush
from itertools import count


class DeliveryWaiters:
    """Waits by lane and sequence number. Belongs to one event loop."""

    def __init__(self) -> None:
        self._settled: dict[bytes, int] = {}
        self._dead_lettered: dict[bytes, int] = {}
        self._waits: defaultdict[bytes, list[tuple[int, int, asyncio.Future[bool]]]] = defaultdict(
            list
        )
        self._order = count()

    def settle(self, lane: bytes, seq: int, *, is_delivered: bool) -> None:
        """Everything of the lane up to `seq` has left the spool: delivered, or dead-lettered."""
        self._settled[lane] = seq
        if not is_delivered:
            self._dead_lettered[lane] = seq
        waits = self._waits.get(lane)
        while waits and waits[0][0] <= seq:
            future = heappop(waits)[2]
            if not future.done():
                future.set_result(is_delivered)

    async def wait(self, last_seqs: dict[bytes, int], timeout_s: float) -> dict[bytes, int]:
        """Wait until everything up to these numbers is delivered, or so long.

        Returns up to which number each lane is delivered now; lanes that did not get as far as
        asked, or whose record became a dead letter, are absent.
        """
        loop = asyncio.get_running_loop()
        waiting: dict[bytes, asyncio.Future[bool]] = {}
        delivered = {}
        for lane, seq in last_seqs.items():
            if self._settled.get(lane, 0) < seq:
                waiting[lane] = loop.create_future()
                heappush(self._waits[lane], (seq, next(self._order), waiting[lane]))
            elif self._dead_lettered.get(lane) != seq:
                delivered[lane] = seq
        # All at once: waiting lane by lane would add up the timeouts.
        if waiting:
            await self._wait_for(waiting, timeout_s)
        for lane, future in waiting.items():
            if not future.cancelled() and future.result():
                delivered[lane] = last_seqs[lane]
        return delivered

    async def _wait_for(self, waiting: dict[bytes, asyncio.Future[bool]], timeout_s: float) -> None:
        try:
            await asyncio.wait(waiting.values(), timeout=timeout_s)
        finally:
            for lane, future in waiting.items():
                if not future.done():
                    self._forget(lane, future)

    def _forget(self, lane: bytes, future: asyncio.Future[bool]) -> None:
        """Leave nothing behind: an outage with many callers must not fill the memory."""
        future.cancel()
        waits = self._waits[lane]
        # Those who waited longest stand first and give up first, mostly.
        while waits and waits[0][2].done():
            heappop(waits)
