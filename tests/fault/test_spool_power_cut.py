"""Power cuts: what has not reached the volume's image is gone.

The child works on an ext4 file system in an image file. It is frozen, and the image copied: the
copy holds what a disk would after the power went, and nothing of what is in the page cache. The
model has no drive cache, and writes whole sectors.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.support.loop_volume import MIB, copy_image, demand_loop_volumes, make_image, mounted
from tests.support.spool_oracle import Said, drain, judge, start_child

CUTS = int(os.environ.get("SPOOL_POWER_CUTS", "4"))
RELAXED_S = 1.0
"""A relaxed append acknowledged so long ago is on the disk: 10 ms, and a slow machine's fsync."""


class Ear:
    """Hears a child while it runs, with the moment of each acknowledgement."""

    def __init__(self, child) -> None:
        self.said = Said()
        self.heard_s: dict[int, float] = {}
        self._child = child
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for line in self._child.stdout:
            self.said.hear([line])
            if line.startswith(b"A r"):
                self.heard_s[int(line.split()[3])] = time.monotonic()

    async def wait_for(self, acks: int) -> None:
        async with asyncio.timeout(60):
            while len(self.said.acked) < acks:
                await asyncio.sleep(0.01)

    def join(self) -> None:
        self._thread.join(10)


async def _cut(child, ear: Ear, image: Path, copy: Path) -> tuple[Said, set[int]]:
    """Freeze the child and copy the image. What it had said before, and what was long ago."""
    acked = dict(ear.said.acked)
    old = {seq for seq, at in ear.heard_s.copy().items() if at < time.monotonic() - RELAXED_S}
    child.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(copy_image, image, copy)
    delivered = set(ear.said.delivered)
    child.send_signal(signal.SIGCONT)
    return Said(acked, delivered), old


@pytest.mark.timeout(60 + 10 * CUTS)
async def test_power_cuts_lose_no_durable_append(tmp_path):
    demand_loop_volumes()
    chance = random.Random(20_261_123)
    image = make_image(tmp_path / "volume", 64 * MIB)
    with mounted(image, tmp_path / "live", "loop,commit=600") as live:
        child = start_child(live / "spool", "--park", "d0")
        ear = Ear(child)
        try:
            for cut in range(CUTS):
                await ear.wait_for(300 * (cut + 1))
                await asyncio.sleep(chance.uniform(0, 0.1))  # any moment, not one of our choice
                said, old = await _cut(child, ear, image, tmp_path / "copy")
                with mounted(tmp_path / "copy", tmp_path / "after") as after:
                    records, _ = await drain(after / "spool")
                assert not judge(said, records, lanes=b"d")
                assert old <= {record.seq for record in records} | said.delivered
        finally:
            child.kill()
            child.wait()
            ear.join()
            child.stdout.close()
