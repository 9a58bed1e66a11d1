"""Changes by the tick at which they fall due."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class TickSchedule(Generic[Entry]):
    """One entry a tick, made by `new` when first asked for, handed out once when due."""

    def __init__(self, new: Callable[[], Entry], *, tick_ms: int) -> None:
        # Epoch times are not negative: before the first tick is counted, all are to come.
        self.next_ms = 0
        """Ticks before this one are counted."""
        self._new = new
        self._tick_ms = tick_ms
        self._entries: dict[int, Entry] = {}
        self._ticks: list[int] = []

    def at(self, tick_ms: int) -> Entry:
        """The entry of a tick, to be filled. One of a counted tick is due with the next."""
        entry = self._entries.get(tick_ms)
        if entry is None:
            entry = self._entries[tick_ms] = self._new()
            # A heap beside the entries: ticks are asked for in any order, and handed out in order.
            heappush(self._ticks, tick_ms)
        return entry

    def due(self, tick_ms: int) -> Iterator[Entry]:
        """Take out every entry up to a tick, oldest first; exhaust it before the next call."""
        while self._ticks and self._ticks[0] <= tick_ms:
            yield self._entries.pop(heappop(self._ticks))
        self.next_ms = tick_ms + self._tick_ms
