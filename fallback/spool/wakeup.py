"""Wakes a thread, without a lock on the side that wakes it."""

from __future__ import annotations

import queue


class Wakeup:
    """Wakes one thread; what comes while it is awake is remembered once."""

    def __init__(self) -> None:
        self._signals: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._is_signalled = False

    def wake(self) -> None:
        """Let `wait` return, now or at its next call. From any thread; costs a look when awake."""
        # Without a lock: two that race may put two signals, and the thread then looks twice.
        if not self._is_signalled:
            self._is_signalled = True
            self._signals.put(None)

    def wait(self, timeout_s: float | None) -> None:
        """Return when woken, or after so long."""
        try:
            self._signals.get(timeout=timeout_s)
        except queue.Empty:
            return
        # Cleared before the thread looks for work: a call that comes from here on finds it
        # cleared and is not missed, one that came before is served by this look.
        self._is_signalled = False
