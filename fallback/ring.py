"""The slots of a sliding window, used in turn. Pure: time is an argument."""

from __future__ import annotations

from abc import ABC, abstractmethod


class Ring(ABC):
    """Forgets `window_s / slots` at a time: a slot is emptied when its turn comes again.

    What happened at time t is remembered until the slot that follows `slots` later begins. Each
    call takes constant time, but for the first one after a pause. Time never goes back (a
    monotonic clock).

    A base class and no part: the breaker asks it twice a call, and a call more would be felt.
    """

    __slots__ = ("_newest", "_size", "_width_s")

    def __init__(self, window_s: float, slots: int) -> None:
        if not (window_s > 0 and slots > 0):
            raise ValueError(f"window_s={window_s!r}, slots={slots!r} must be positive")
        self._width_s = window_s / slots
        self._size = slots
        self._newest: int | None = None
        """Number of the slot that was used last, counted from time 0."""

    def clear(self) -> None:
        """Forget everything."""
        for index in range(self._size):
            self._empty(index)

    def _roll(self, now_s: float) -> int:
        """Empty the slots that went by; returns the index of the present one."""
        number = int(now_s // self._width_s)
        newest = self._newest
        if number != newest:
            if newest is not None:
                # After a long pause every slot is emptied once, not once for each time round.
                for passed in range(max(newest + 1, number - self._size + 1), number + 1):
                    self._empty(passed % self._size)
            self._newest = number
        return number % self._size

    @abstractmethod
    def _empty(self, index: int) -> None:
        """Take a slot out of the sums, and set it to nothing; it may be empty already."""
