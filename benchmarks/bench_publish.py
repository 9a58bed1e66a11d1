"""Publishing through the spool by 256 callers, against the same loop with nothing stored."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from benchmarks.benchmark import Case
from benchmarks.sample_events import ride_requests
from fallback.pump.delivery_waiters import DeliveryWaiters
from fallback.spool import Durability, Entry, Spool, SpoolConfig
from pricing.ports import Publisher
from pricing.writing.publisher import SpoolPublisher
from streaming.config import KafkaConfig
from streaming.topics import RIDE_REQUESTS

T = TypeVar("T")
_CALLERS = 256
_EVENTS = 20


class _NoStore:
    """In the spool's place: answers at the loop's next turn, as if the disk took no time."""

    async def append(
        self,
        entries: Sequence[Entry],
        *,
        durability: Durability,  # noqa: ARG002 - the spool's signature
        timeout_s: float,  # noqa: ARG002
    ) -> range:
        loop = asyncio.get_running_loop()
        stored: asyncio.Future[None] = loop.create_future()
        loop.call_soon(stored.set_result, None)
        await stored
        return range(1, len(entries) + 1)


class _Publish:
    name = "publish"
    what = (
        f"Publish ride requests from {_CALLERS} callers, each of them one after the other, until "
        "they are on the disk: encoded, packed, appended, and read out again beside it. The "
        "baseline is the same loop with nothing stored."
    )
    unit = "event"

    def cases(self) -> Sequence[Case]:
        """Open a spool in a temporary directory; `close` removes it."""
        self._loop = uvloop.new_event_loop()
        self._stack = AsyncExitStack()
        no_store: Any = _NoStore()
        bare = SpoolPublisher(no_store, DeliveryWaiters(), KafkaConfig(), wait_s=0)
        spool = self._run(self._open())
        stored = SpoolPublisher(spool, DeliveryWaiters(), KafkaConfig(), wait_s=0)
        return [self._case("no store", bare), self._case("durable", stored)]

    def close(self) -> None:
        """Close the spool and remove its files."""
        self._run(self._stack.aclose())
        self._loop.close()

    def _case(self, label: str, publisher: Publisher) -> Case:
        def run() -> None:
            self._run(_publish_all(publisher))

        return Case(label=label, run=run, operations=_CALLERS * _EVENTS)

    async def _open(self) -> Spool:
        home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-publish-"))
        config = SpoolConfig(free_floor_bytes=0)
        spool = await self._stack.enter_async_context(Spool.open(Path(home), config))
        self._stack.callback(asyncio.create_task(_deliver(spool)).cancel)
        return spool

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


async def _publish_all(publisher: Publisher) -> None:
    events = list(ride_requests(_EVENTS))

    async def caller() -> None:
        for event in events:
            await publisher.publish(RIDE_REQUESTS, [event])

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_CALLERS):
            tasks.create_task(caller())


async def _deliver(spool: Spool) -> None:
    """The events of one city are one lane."""
    async for lane in spool.lanes():
        while True:
            records = await lane.take(max_records=500, max_bytes=1 << 20)
            lane.ack(records[-1].seq)


BENCHMARK = _Publish()
