"""A process that appends to a spool and drains it until it is killed. Run as a script.

Writes one line a fact to stdout, each in one write: `A <lane> <number> <seq>` after an append
was acknowledged, `D <seq>` after a record was delivered and before it is acknowledged, `R` when
the spool is open, `E` after an orderly end.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fallback.spool import Durability, Entry, Lane, Spool, SpoolConfig
from fallback.spool.format.io import FaultPoint, RealFiles

SEGMENT_BYTES = 32 * 1024
SEGMENTS = 400
CONFIG = SpoolConfig(
    segment_bytes=SEGMENT_BYTES,
    quota_bytes=SEGMENTS * SEGMENT_BYTES,
    free_floor_bytes=0,
    cursor_interval_ms=1,
    cursor_sync_ms=20,
    relaxed_sync_ms=10,
    lookahead_bytes=16 * 1024,
    lane_lookahead_bytes=8 * 1024,
)


class KillingFiles(RealFiles):
    """Kills its own process when a point is reached for the n-th time."""

    def __init__(self, point: str | None, count: int) -> None:
        self._point = point
        self._count = count
        self._reached: Counter[str] = Counter()

    def reached(self, point: FaultPoint) -> None:
        self._reached[point] += 1
        if point == self._point and self._reached[point] == self._count:
            os.kill(os.getpid(), signal.SIGKILL)


def body(lane: bytes, number: int) -> bytes:
    """What an entry holds: tells where it belongs, and fills 200 to 400 bytes."""
    start = b"%s:%d:" % (lane, number)
    return start + bytes((number + at) % 251 for at in range(200 + number % 200))


def tell(line: str) -> None:
    os.write(1, line.encode() + b"\n")


async def append(spool: Spool, lane: bytes, durability: Durability, numbers: Iterable[int]) -> None:
    for number in numbers:
        entry = Entry(lane, body(lane, number))
        (seq,) = await spool.append([entry], durability=durability, timeout_s=30)
        tell(f"A {lane.decode()} {number} {seq}")


async def drain(lane: Lane) -> None:
    while True:
        records = await lane.take(max_records=20, max_bytes=1 << 20)
        for record in records:
            tell(f"D {record.seq}")
        lane.ack(records[-1].seq)


async def drain_all(spool: Spool, parked: bytes) -> None:
    async with asyncio.TaskGroup() as tasks:
        async for lane in spool.lanes():
            if parked not in (lane.name, b"all"):
                tasks.create_task(drain(lane))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--lanes", type=int, default=4)
    parser.add_argument("--numbers", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--point")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--segments", type=int, default=SEGMENTS)
    parser.add_argument("--park", default="", help="a lane that nobody drains, or all")
    given = parser.parse_args()
    files = KillingFiles(given.point, given.count)
    config = replace(CONFIG, quota_bytes=given.segments * SEGMENT_BYTES)
    numbers = range(given.first, given.first + given.numbers)
    async with Spool.open(given.directory, config, files=files) as spool:
        tell("R")
        drainer = asyncio.create_task(drain_all(spool, given.park.encode()))
        async with asyncio.TaskGroup() as tasks:
            for number in range(given.lanes):
                durable = b"d%d" % number
                tasks.create_task(append(spool, durable, Durability.DURABLE, numbers))
                relaxed = b"r%d" % number
                tasks.create_task(append(spool, relaxed, Durability.RELAXED, numbers))
        drainer.cancel()
        await asyncio.gather(drainer, return_exceptions=True)
    tell("E")


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
