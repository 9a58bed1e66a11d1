"""Wakes a thread, without a lock on the side that rings."""

from __future__ import annotations

import queue


class Wakeup:
    """Wakes one thread; rings that come while it is awake are remembered once."""

    def __init__(self) -> None:
        self._rings: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._has_rung = False

    def ring(self) -> None:
        if not self._has_rung:
            self._has_rung = True
            self._rings.put(None)

    def wait(self, timeout_s: float | None) -> None:
        """Return at the next ring, or after so long."""
        try:
            self._rings.get(timeout=timeout_s)
        except queue.Empty:
            return
        self._has_rung = False
