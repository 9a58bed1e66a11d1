"""kill -9 while appends are under way: nothing acknowledged is lost, whatever the class."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from fallback.spool.format.io import FaultPoint
from tests.support.spool_child import CONFIG
from tests.support.spool_oracle import Said, drain, judge, start_child

KILLS = int(os.environ.get("SPOOL_KILLS", "10"))
POINTS = [
    pytest.param(point, repeat, marks=[pytest.mark.soak] if repeat else [])
    for point in FaultPoint
    for repeat in range(3)
]
SPARSE = {FaultPoint.CLOSING, FaultPoint.QUARANTINED}
"""Reached once a run."""


def _kill_after(child: subprocess.Popen[bytes], acks: int) -> Said:
    """Let the child acknowledge so many appends, kill it, and hear it out."""
    said = Said()
    assert child.stdout is not None
    while len(said.acked) < acks and (line := child.stdout.readline()):
        said.hear([line])
    child.send_signal(signal.SIGKILL)
    said.hear(child.stdout.readlines())
    child.stdout.close()
    child.wait()
    return said


def _merge(said: Said, more: Said) -> None:
    said.acked.update(more.acked)
    said.delivered.update(more.delivered)


@pytest.mark.soak
@pytest.mark.timeout(60 + 5 * KILLS)
async def test_killed_appends_lose_nothing_acknowledged(tmp_path):
    """One spool, killed again and again, so that each start meets what the last kill left."""
    said = Said()
    for kill in range(KILLS):
        child = start_child(tmp_path, "--first", str(kill * 100_000), "--park", "d0")
        _merge(said, _kill_after(child, 200 + 150 * (kill % 7)))
    records, stats = await drain(tmp_path)
    assert not judge(said, records)
    assert len(said.acked) >= 200 * KILLS
    assert stats.corrupt_records == 0


def _damage_one_record(directory: Path) -> None:
    child = start_child(directory, "--numbers", "20", "--park", "all")
    child.communicate(timeout=60)
    segment = min(directory.glob("*.seg"))
    content = bytearray(segment.read_bytes())
    content[1_000] ^= 1
    segment.write_bytes(content)


@pytest.mark.parametrize(("point", "repeat"), POINTS)
async def test_killed_at_fault_point_loses_nothing_acknowledged(tmp_path, point, repeat):
    first = Said()
    if point is FaultPoint.QUARANTINED:
        _damage_one_record(tmp_path)
    count = 1 if point in SPARSE else 1 + 2 * repeat
    numbers = "60" if point is FaultPoint.CLOSING else "5000"
    arguments = ["--first", "1000", "--point", point, "--count", str(count), "--numbers", numbers]
    if point is FaultPoint.COMPACTED:
        arguments += ["--park", "d0", "--segments", "30"]  # what it holds is rewritten
    child = start_child(tmp_path, *arguments)
    output, _ = child.communicate(timeout=60)
    first.hear(output.splitlines())
    assert child.returncode == -signal.SIGKILL
    records, stats = await drain(tmp_path)
    assert not judge(first, records)
    assert stats.corrupt_records == (point is FaultPoint.QUARANTINED)
    assert stats.bytes <= CONFIG.quota_bytes
