"""A spool with a million events that wait for Kafka; as a program, one process that opens it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import uvloop

from benchmarks.sample_events import ride_requests
from fallback.pump import Pump
from fallback.pump.sink import Poison, SinkFailure
from fallback.spool import Durability, Entry, Record, Spool, SpoolConfig
from streaming.events.codec import encode
from streaming.events.packing import pack

EVENTS = int(os.environ.get("BENCHMARK_BACKLOG", "1_000_000"))
CONFIG = SpoolConfig(free_floor_bytes=0)
_LANES = 6
_AT_ONCE = 600
_REPLAY_S = float(os.environ.get("BENCHMARK_REPLAY_S", "3"))


def make_backlog() -> tempfile.TemporaryDirectory[str]:
    """Write the events and close the spool; about 350 MB."""
    home = tempfile.TemporaryDirectory(prefix="bench-backlog-")
    uvloop.run(_fill(Path(home.name)))
    return home


async def _fill(directory: Path) -> None:
    events = ride_requests(_AT_ONCE)
    entries = [
        Entry(b"lane/%d" % (number % _LANES), pack(encode(event)))
        for number, event in enumerate(events)
    ]
    async with Spool.open(directory, CONFIG) as spool:
        for first in range(0, EVENTS, _AT_ONCE):
            some = entries[: EVENTS - first]
            await spool.append(some, durability=Durability.RELAXED, timeout_s=30)


class _Instant:
    """A sink that takes everything at once, and looks at nothing."""

    def group_of(self, lane: bytes) -> str:  # noqa: ARG002 - the protocol's
        return "lane"

    async def send(self, lane: bytes, bodies: Sequence[bytes]) -> None:  # noqa: ARG002
        await asyncio.sleep(0)

    async def diagnose(self, lane: bytes) -> SinkFailure | None:  # noqa: ARG002
        return None

    def renew(self, reason: str) -> None:
        pass


async def _dead_letter(record: Record, failure: Poison, attempts: int) -> NoReturn:
    raise AssertionError(f"record {record.seq} refused after {attempts} attempts: {failure}")


async def _look(directory: Path) -> None:
    """Replay for a moment, then print the most memory that the process had, in bytes."""
    async with (
        Spool.open(directory, CONFIG) as spool,
        Pump(spool, _Instant(), dead_letter=_dead_letter),
    ):
        await asyncio.sleep(_REPLAY_S)
    print(_most_memory())


def _most_memory() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (high,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(high) * 1024


if __name__ == "__main__":
    uvloop.run(_look(Path(sys.argv[1])))
