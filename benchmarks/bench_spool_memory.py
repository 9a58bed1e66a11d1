"""What a backlog costs in memory."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.backlog import EVENTS, make_backlog
from benchmarks.benchmark import Reading, Unavailable

_MIB = 1 << 20


class _SpoolMemory:
    name = "spool-memory"
    what = (
        f"The most memory of a process that opens a spool and replays from it at the default "
        f"pace, with nothing in it and with {EVENTS:,} events of about 300 bytes in it."
    )
    unit = "MiB"
    rounds = 5

    def cases(self) -> Sequence[Reading]:
        """Write the backlog; `close` removes it."""
        if not Path("/proc/self/status").exists():
            raise Unavailable("it needs Linux's /proc")
        self._stack = ExitStack()
        enter = self._stack.enter_context
        idle = enter(tempfile.TemporaryDirectory(prefix="bench-idle-"))
        full = enter(make_backlog())
        return [
            Reading(label="idle", run=_memory_of(idle)),
            Reading(label=f"{EVENTS:,} events", run=_memory_of(full)),
        ]

    def close(self) -> None:
        """Remove the files."""
        self._stack.close()


def _memory_of(directory: str) -> Callable[[], float]:
    command = [sys.executable, "-m", "benchmarks.backlog", directory]

    def run() -> float:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return int(told.splitlines()[-1]) / _MIB  # before it stand logs

    return run


BENCHMARK = _SpoolMemory()
