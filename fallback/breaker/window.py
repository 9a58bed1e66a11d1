"""A sliding time window of call results, in buckets. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import dataclass

from fallback.ring import Ring


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


class SlidingWindow(Ring):
    """Counts calls of the last `window_s`, forgetting a bucket of `window_s / buckets` at a time.

    Both recording and summing take constant time: sums are kept, and a bucket is subtracted
    when it is reused.
    """

    __slots__ = ("_calls", "_failures", "_slow", "_sums")

    def __init__(self, window_s: float, buckets: int) -> None:
        super().__init__(window_s, buckets)
        self._calls = [0] * buckets
        self._failures = [0] * buckets
        self._slow = [0] * buckets
        self._sums = [0, 0, 0]

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

    def _empty(self, index: int) -> None:
        sums = self._sums
        sums[0] -= self._calls[index]
        sums[1] -= self._failures[index]
        sums[2] -= self._slow[index]
        self._calls[index] = self._failures[index] = self._slow[index] = 0
