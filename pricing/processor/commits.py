"""What is committed of a partition: the offsets of the newest tick that every output has.

The tick itself is kept as the commit's metadata. From it the next owner of the partition knows
from which tick on it has to write.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import structlog

from streaming.consuming.records import Committed

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ComputedTick:
    """A tick that was handed to the outputs, and where the topics were read up to by then."""

    tick_ms: int
    offsets: Mapping[str, int]


class UncommittedTicks:
    """The computed ticks of one partition that are not committed yet, oldest first."""

    def __init__(self) -> None:
        self._ticks: deque[ComputedTick] = deque()

    def add(self, tick: ComputedTick) -> None:
        self._ticks.append(tick)

    def take_written(self, first_pending_ms: int | None) -> ComputedTick | None:
        """Take out every tick that all outputs have; returns the newest, None: there is none.

        `first_pending_ms` is the oldest tick that some output still waits to write; None: no
        output waits.
        """
        written: ComputedTick | None = None
        while self._ticks and (
            first_pending_ms is None or self._ticks[0].tick_ms < first_pending_ms
        ):
            written = self._ticks.popleft()
        return written

    def put_back(self, tick: ComputedTick) -> None:
        """Keep a tick whose commit failed, to be committed with a later one or again."""
        self._ticks.appendleft(tick)


def committed_tick_ms(committed: Collection[Committed], now_ms: int) -> int | None:
    """The last tick that every output has, by what the group keeps; None: it does not say.

    A tick that lies ahead is ignored: a wrong clock wrote it, and it would stop the prices
    until then.
    """
    ticks = [int(entry.metadata) for entry in committed if _is_number(entry.metadata)]
    ahead = [tick_ms for tick_ms in ticks if tick_ms > now_ms]
    if ahead:
        _log.error("committed tick in the future ignored", tick_ms=max(ahead))
    return max((tick_ms for tick_ms in ticks if tick_ms <= now_ms), default=None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
