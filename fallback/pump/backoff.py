"""Waits that grow. Pure."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Doubles from a first to a longest wait; each is jittered down by up to half."""

    def __init__(self, first_s: float, longest_s: float, random: Callable[[], float]) -> None:
        self._longest_s = longest_s
        self._random = random
        self._next_s = first_s

    def next(self) -> float:
        """Seconds to wait now."""
        wait_s = self._next_s * (0.5 + self._random() / 2)
        self._next_s = min(2 * self._next_s, self._longest_s)
        return wait_s
