"""A sliding time window of call results, in buckets. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over the window."""

    calls: int
    failures: int
    slow: int

    @property
    def failure_rate(self) -> float:
        """Share of calls that failed; 0 without calls."""
        return self.failures / self.calls if self.calls else 0.0

    @property
    def slow_call_rate(self) -> float:
        """Share of calls that were slow; 0 without calls."""
        return self.slow / self.calls if self.calls else 0.0


class SlidingWindow:
    """Counts calls of the last `window_s`, forgetting a bucket of `window_s / buckets` at a time.

    A call at time t is counted until the bucket that follows `buckets` later begins. Both
    recording and summing take constant time: sums are kept, and a bucket is subtracted when it
    is reused. Time never goes back (a monotonic clock).
    """

    __slots__ = ("_calls", "_failures", "_newest", "_slow", "_sums", "_width_s")

    def __init__(self, window_s: float, buckets: int) -> None:
        self._width_s = window_s / buckets
        self._calls = [0] * buckets
        self._failures = [0] * buckets
        self._slow = [0] * buckets
        self._sums = [0, 0, 0]
        self._newest: int | None = None

    def record(self, now_s: float, *, failed: bool, slow: bool) -> None:
        """Count one call that ended now."""
        index = self._roll(now_s)
        sums = self._sums
        self._calls[index] += 1
        sums[0] += 1
        if failed:
            self._failures[index] += 1
            sums[1] += 1
        if slow:
            self._slow[index] += 1
            sums[2] += 1

    def counts(self, now_s: float) -> Counts:
        """Sums over the window that ends now."""
        self._roll(now_s)
        return Counts(*self._sums)

    def _roll(self, now_s: float) -> int:
        """Empty the buckets that went by; returns the index of the present one."""
        number = int(now_s // self._width_s)
        size = len(self._calls)
        newest = self._newest
        if number != newest:
            if newest is not None:
                for passed in range(max(newest + 1, number - size + 1), number + 1):
                    self._empty(passed % size)
            self._newest = number
        return number % size

    def _empty(self, index: int) -> None:
        sums = self._sums
        sums[0] -= self._calls[index]
        sums[1] -= self._failures[index]
        sums[2] -= self._slow[index]
        self._calls[index] = self._failures[index] = self._slow[index] = 0
