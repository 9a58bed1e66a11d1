"""The events that a simulation has still to run, in order of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[int], None]
"""Called with the moment for which it was planned, epoch ms."""


class EventQueue:
    """Actions by moment; those of one moment in the order in which they were planned."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Action]] = []
        self._planned = 0

    def plan(self, at_ms: int, action: Action) -> None:
        """Do something later. A moment that has passed is done next."""
        self._planned += 1
        heapq.heappush(self._heap, (at_ms, self._planned, action))

    def run(self, until_ms: int) -> None:
        """Do everything that is planned before a moment, also what it plans meanwhile."""
        while self._heap and self._heap[0][0] < until_ms:
            at_ms, _, action = heapq.heappop(self._heap)
            action(at_ms)
