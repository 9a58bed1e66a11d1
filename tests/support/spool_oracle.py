"""What a child said, and whether a spool keeps it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fallback.spool import Record, Spool, SpoolStats
from tests.support.spool_child import CONFIG, body

ROOT = Path(__file__).parents[2]


def start_child(directory: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """A process that works on the spool; whoever starts it ends it."""
    script = Path(__file__).with_name("spool_child.py")
    return subprocess.Popen(
        [sys.executable, str(script), str(directory), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
    )


@dataclass
class Said:
    """A child's account."""

    acked: dict[tuple[bytes, int], int] = field(default_factory=dict)
    """By lane and number: the sequence number."""
    delivered: set[int] = field(default_factory=set)
    ended: bool = False

    def hear(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            match line.split():
                case [b"A", lane, number, seq]:
                    self.acked[lane, int(number)] = int(seq)
                case [b"D", seq]:
                    self.delivered.add(int(seq))
                case [b"E"]:
                    self.ended = True


async def drain(directory: Path) -> tuple[list[Record], SpoolStats]:
    """Everything that a spool hands out, acknowledged; by lane in the order handed out."""
    records: list[Record] = []
    async with Spool.open(directory, CONFIG, with_intake=False) as spool:

        async def drain_lane(lane) -> None:
            while True:
                taken = await lane.take(max_records=200, max_bytes=1 << 20)
                records.extend(taken)
                lane.ack(taken[-1].seq)

        async def drain_lanes() -> None:
            async with asyncio.TaskGroup() as tasks:
                async for lane in spool.lanes():
                    tasks.create_task(drain_lane(lane))

        drainer = asyncio.create_task(drain_lanes())
        async with asyncio.timeout(60):
            while spool.stats().records:
                await asyncio.sleep(0.01)
        drainer.cancel()
        await asyncio.gather(drainer, return_exceptions=True)
        return records, spool.stats()


def judge(said: Said, records: list[Record], *, lanes: bytes = b"dr") -> list[str]:
    """What is wrong: acknowledged and lost, changed, invented, or out of order.

    `lanes`: the first letters of the lanes that may lose nothing.
    """
    wrong = []
    there = {record.seq: record for record in records}
    for (lane, number), seq in said.acked.items():
        record = there.get(seq)
        if record is None:
            if seq not in said.delivered and lane[0] in lanes:
                wrong.append(f"{seq} lost: {lane!r} {number}")
        elif (record.lane, record.body) != (lane, body(lane, number)):
            wrong.append(f"{seq} is another record")
    last: dict[bytes, int] = {}
    for record in records:
        number = int(record.body.split(b":")[1])
        if record.body != body(record.lane, number):
            wrong.append(f"{record.seq} was changed")
        if record.seq <= last.get(record.lane, 0):
            wrong.append(f"{record.seq} is out of order")
        last[record.lane] = record.seq
    return wrong
