"""How long a process needs to open a spool that is full of events."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.backlog import CONFIG, EVENTS, make_backlog
from benchmarks.benchmark import Reading
from fallback.spool import Spool


class _SpoolReopen:
    name = "spool-reopen"
    what = (
        f"Open a spool with {EVENTS:,} undelivered events of about 300 bytes, until it takes "
        "appends. The baseline is a spool with nothing in it."
    )
    unit = "ms"
    rounds = 10

    def cases(self) -> Sequence[Reading]:
        """Write the backlog; `close` removes it."""
        self._stack = ExitStack()
        enter = self._stack.enter_context
        idle = enter(tempfile.TemporaryDirectory(prefix="bench-idle-"))
        full = enter(make_backlog())
        return [
            Reading(label="empty", run=_time_to_open(idle)),
            Reading(label=f"{EVENTS:,} events", run=_time_to_open(full)),
        ]

    def close(self) -> None:
        """Remove the files."""
        self._stack.close()


def _time_to_open(directory: str) -> Callable[[], float]:
    async def once() -> float:
        began_s = time.perf_counter()
        async with Spool.open(Path(directory), CONFIG):
            return (time.perf_counter() - began_s) * 1_000

    return lambda: asyncio.run(once())


BENCHMARK = _SpoolReopen()
