"""Appending to the spool, by 256 callers at once, against an event loop that only wakes them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.benchmark import Case
from fallback.spool import Durability, Entry, Lane, Spool, SpoolConfig

T = TypeVar("T")
CALLERS = 256
APPENDS = 20
BODY = bytes(300)


class SpoolAppend:
    """Every round appends, then delivers and acknowledges, so that no round finds a backlog."""

    name = "spool-append"
    what = (
        f"Append events of {len(BODY)} bytes to the spool from {CALLERS} callers at once and"
        " deliver them, against callers that an event loop wakes without storing anything."
    )
    unit = "event"

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = AsyncExitStack()

    def cases(self) -> Sequence[Case]:
        """Open a spool in a temporary directory; the process's end closes it."""
        spool = self._run(self._open())

        def appending(durability: Durability) -> Callable[[], object]:
            return lambda: self._run(_append_and_deliver(spool, durability))

        count = CALLERS * APPENDS
        return [
            Case(label="no store", run=lambda: self._run(_many(_wake)), operations=count),
            Case(label="relaxed", run=appending(Durability.RELAXED), operations=count),
            Case(label="durable", run=appending(Durability.DURABLE), operations=count),
        ]

    async def _open(self) -> Spool:
        home = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-spool-"))
        config = SpoolConfig(free_floor_bytes=0)
        return await self._stack.enter_async_context(Spool.open(Path(home), config))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(work)


async def _wake() -> None:
    loop = asyncio.get_running_loop()
    woken: asyncio.Future[None] = loop.create_future()
    loop.call_soon(woken.set_result, None)
    await woken


async def _many(call: Callable[[], Awaitable[object]]) -> None:
    async def caller() -> None:
        for _ in range(APPENDS):
            await call()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(CALLERS):
            tasks.create_task(caller())


async def _append_and_deliver(spool: Spool, durability: Durability) -> None:
    async with asyncio.TaskGroup() as tasks:
        deliverer = tasks.create_task(_deliver(spool))
        entries = [Entry(b"lane", BODY)]
        await _many(lambda: spool.append(entries, durability=durability, timeout_s=10))
        await deliverer


async def _deliver(spool: Spool) -> None:
    async for lane in spool.lanes():
        await _deliver_lane(lane, CALLERS * APPENDS)
        return


async def _deliver_lane(lane: Lane, count: int) -> None:
    while count:
        records = await lane.take(max_records=500, max_bytes=1 << 20)
        count -= len(records)
        lane.ack(records[-1].seq)


BENCHMARK = SpoolAppend()
