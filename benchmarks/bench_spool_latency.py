"""How long a durable append takes at a steady rate, against one write to the same disk."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from benchmarks.benchmark import Reading
from fallback.spool import Durability, Entry, Spool, SpoolConfig

T = TypeVar("T")
_BODY = bytes(300)
_RATE = 2_000
_APPENDS = 1_500
_SYNCS = 500
_FILE_BYTES = 1 << 20


class _SpoolLatency:
    name = "spool-latency"
    what = (
        f"A durable append of {len(_BODY)} bytes, {_RATE:,} of them a second whether or not the "
        "ones before are done, 99th percentile from the moment at which each was due. The "
        "baseline is one write and `fdatasync` after the other into a file of full size on the "
        "same disk; the second case is the same arrivals without a store."
    )
    unit = "ms"
    rounds = 15

    def cases(self) -> Sequence[Reading]:
        """Open a file and a spool in a temporary directory; `close` removes them."""
        self._loop = uvloop.new_event_loop()
        self._stack = AsyncExitStack()
        prefix = tempfile.TemporaryDirectory(prefix="bench-spool-")
        home = Path(self._stack.enter_context(prefix))
        raw = home / "raw"
        raw.write_bytes(bytes(_FILE_BYTES))
        spool = self._run(self._open(home / "spool"))
        entries = [Entry(b"lane", _BODY)]

        async def append() -> None:
            await spool.append(entries, durability=Durability.DURABLE, timeout_s=10)

        async def no_store() -> None:
            await asyncio.sleep(0)

        return [
            Reading(label="write and fdatasync", run=lambda: _raw(raw)),
            Reading(label="no store", run=lambda: self._run(_arrivals(no_store))),
            Reading(label="durable append", run=lambda: self._run(_arrivals(append))),
        ]

    def close(self) -> None:
        """Close the spool and remove the files."""
        self._run(self._stack.aclose())
        self._loop.close()

    async def _open(self, directory: Path) -> Spool:
        spool = await self._stack.enter_async_context(
            Spool.open(directory, SpoolConfig(free_floor_bytes=0))
        )
        delivering = asyncio.create_task(_deliver(spool))
        self._stack.callback(delivering.cancel)
        return spool

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


def _raw(path: Path) -> float:
    file = os.open(path, os.O_WRONLY)
    try:
        os.fsync(file)
        took = []
        for number in range(_SYNCS):
            began_s = time.perf_counter()
            os.pwrite(file, _BODY, number * len(_BODY))
            os.fdatasync(file)
            took.append(time.perf_counter() - began_s)
    finally:
        os.close(file)
    return _p99_ms(took)


async def _arrivals(call: Callable[[], Awaitable[None]]) -> float:
    """The arrivals are random, and the same in every round. The loop's own clock is coarser."""
    rng, now_s = random.Random(1), time.monotonic
    took: list[float] = []

    async def timed(due_s: float) -> None:
        await call()
        took.append(now_s() - due_s)

    due_s = now_s()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(_APPENDS):
            due_s += rng.expovariate(_RATE)
            if due_s > now_s():
                await asyncio.sleep(due_s - now_s())
            tasks.create_task(timed(due_s))
    return _p99_ms(took)


async def _deliver(spool: Spool) -> None:
    async for lane in spool.lanes():  # there is one
        while True:
            records = await lane.take(max_records=500, max_bytes=1 << 20)
            lane.ack(records[-1].seq)


def _p99_ms(took: list[float]) -> float:
    return sorted(took)[len(took) * 99 // 100] * 1_000


BENCHMARK = _SpoolLatency()
