"""Waits for a condition instead of sleeping for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

_LOOK_EVERY_S = 0.01
WITHIN_S = 60.0
"""A condition that holds costs nothing of it; it ends a hang, and says nothing of speed."""


async def until(condition: Callable[[], object], what: str, within_s: float = WITHIN_S) -> None:
    """Return once `condition()` holds. Fails the test, naming `what`, when it never does."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(_LOOK_EVERY_S)


def until_blocking(condition: Callable[[], object], what: str, within_s: float = WITHIN_S) -> None:
    """The same for a test without an event loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(_LOOK_EVERY_S)


async def until_stopped(pid: int) -> None:
    """Return once every thread of a process that was sent SIGSTOP stands still."""
    tasks = Path(f"/proc/{pid}/task")

    def stands_still() -> bool:
        states = [
            (task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks.iterdir()
        ]
        return all(state == "T" for state in states)

    await until(stands_still, f"process {pid} stands still")
