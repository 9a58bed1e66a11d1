"""Drops events that were seen before, within a bounded memory.

Delivery is at least once: after a failure or a crash a batch may come again. A repeat carries the
id of the first one and follows it closely, so remembering the last ids is enough. Whoever counts
distinct things anyway, such as the zone processor, needs none of this.
"""

from __future__ import annotations

from collections import deque


class Repeats:
    """Remembers the last `capacity` ids; about 200 bytes each. Raises `ValueError` below 1."""

    def __init__(self, capacity: int = 100_000) -> None:
        if capacity < 1:
            raise ValueError(f"capacity={capacity!r} must be at least 1")
        self._known: set[str] = set()
        self._order: deque[str] = deque()
        self._capacity = capacity
        self.dropped = 0
        """Repeats met so far."""

    def is_repeat(self, event_id: str) -> bool:
        """Whether the id came before; remembers it either way."""
        if event_id in self._known:
            self.dropped += 1
            return True
        self._known.add(event_id)
        self._order.append(event_id)
        if len(self._order) > self._capacity:
            self._known.discard(self._order.popleft())
        return False

    def __len__(self) -> int:
        return len(self._known)
