"""A whole spool with its threads, on files in memory, and what its users do with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fallback.errors import SpoolFull
from fallback.spool import Durability, Entry, Spool, SpoolConfig
from fallback.spool.reading.lane import Lane
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, small_config


def opened_config(**changes: Any) -> SpoolConfig:
    facts: dict[str, Any] = {
        "cursor_interval_ms": 1,
        "lookahead_bytes": 4_000,
        "quota_bytes": 64 * 1024,
    }
    return small_config(**(facts | changes))


@asynccontextmanager
async def opened(files: FaultyFiles, **options: Any) -> AsyncIterator[Spool]:
    options.setdefault("config", opened_config())
    async with Spool.open(DIRECTORY, files=files, **options) as spool:
        yield spool


async def append(
    spool: Spool,
    *bodies: bytes,
    lane: bytes = b"a",
    durability: Durability = Durability.DURABLE,
    timeout_s: float = 5.0,
) -> range:
    entries = [Entry(lane, body) for body in bodies]
    return await spool.append(entries, durability=durability, timeout_s=timeout_s)


async def fill(spool: Spool, size: int) -> tuple[int, SpoolFull]:
    """Append until it refuses: how many it took, and how it refused."""
    count = 0
    while True:
        try:
            await append(spool, bytes(size), timeout_s=0.2)
        except SpoolFull as refused:
            return count, refused
        count += 1


async def until(condition: Callable[[], object]) -> None:
    """Return once it holds. Raises `TimeoutError` after 5 s."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


async def lane_of(spool: Spool, name: bytes = b"a") -> Lane:
    async for lane in spool.lanes():
        if lane.name == name:
            return lane
    raise AssertionError("no such lane")


async def deliver(spool: Spool, count: int, name: bytes = b"a") -> list[bytes]:
    """Take and acknowledge so many records of a lane, or a few more; their bodies."""
    lane = await lane_of(spool, name)
    bodies: list[bytes] = []
    async with asyncio.timeout(60):
        while len(bodies) < count:
            records = await lane.take(max_records=50, max_bytes=1 << 20)
            bodies += [record.body for record in records]
            lane.ack(records[-1].seq)
    return bodies
