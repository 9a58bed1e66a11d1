"""Figures over the last seconds, in constant memory: quantiles, shares, and how fast an error
budget burns. Time is an argument; it never goes back (a monotonic clock).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence

from fallback.ring import Ring

_LEAST = 1e-5
_GROWTH = 1.1
"""Width of a bucket: a quantile is at most 10 % above the true one, and never below it."""
_BUCKETS = 180
"""From 10 microseconds to about 250 s, when the unit is a second."""
_TOP = _BUCKETS - 1
_BOUNDS = [_LEAST * _GROWTH**bucket for bucket in range(_TOP)]
"""The greatest value of each bucket but the last, which takes everything."""


class LatencySketch(Ring):
    """Quantiles of the values of the last `window_s`, forgotten in steps of `window_s / slots`."""

    __slots__ = ("_slots", "_sums", "_total")

    def __init__(self, window_s: float = 10.0, slots: int = 10) -> None:
        super().__init__(window_s, slots)
        self._slots = [array("I", bytes(4 * _BUCKETS)) for _ in range(slots)]
        self._sums = [0] * _BUCKETS
        self._total = 0

    def record(self, now_s: float, value: float) -> None:
        """Count one value, in any unit; negative ones count as none."""
        bucket = bisect_left(_BOUNDS, value)
        slot = self._slots[self._roll(now_s)]
        slot[bucket] += 1
        self._sums[bucket] += 1
        self._total += 1

    def count(self, now_s: float) -> int:
        """How many values the window holds."""
        self._roll(now_s)
        return self._total

    def quantile(self, now_s: float, share: float) -> float | None:
        """The value that `share` (0 to 1) of the values do not exceed; None without values."""
        self._roll(now_s)
        if not self._total:
            return None
        rank = max(1, math.ceil(share * self._total))
        passed = 0
        for bucket, times in enumerate(self._sums):
            passed += times
            if passed >= rank:
                return _LEAST * _GROWTH**bucket
        raise AssertionError("the sums do not add up to the total")

    def _empty(self, index: int) -> None:
        slot = self._slots[index]
        for bucket, times in enumerate(slot):
            if times:
                self._sums[bucket] -= times
                self._total -= times
                slot[bucket] = 0


class ShareWindow(Ring):
    """How often each of a few things happened within the last `window_s`."""

    __slots__ = ("_slots", "_sums", "names")

    def __init__(self, names: Sequence[str], window_s: float, slots: int = 60) -> None:
        super().__init__(window_s, slots)
        self.names = tuple(names)
        self._slots = [dict.fromkeys(self.names, 0) for _ in range(slots)]
        self._sums = dict.fromkeys(self.names, 0)

    def record(self, now_s: float, name: str, times: int = 1) -> None:
        """Count it. Raises `KeyError` for a name that is not one of `names`."""
        slot = self._slots[self._roll(now_s)]
        slot[name] += times
        self._sums[name] += times

    def count(self, now_s: float, name: str) -> int:
        """How often it happened."""
        self._roll(now_s)
        return self._sums[name]

    def total(self, now_s: float) -> int:
        """How often anything happened."""
        self._roll(now_s)
        return sum(self._sums.values())

    def share(self, now_s: float, name: str) -> float:
        """Its share of everything, 0 to 1; 0 when nothing happened."""
        total = self.total(now_s)
        return self._sums[name] / total if total else 0.0

    def _empty(self, index: int) -> None:
        slot = self._slots[index]
        for name, times in slot.items():
            self._sums[name] -= times
            slot[name] = 0


class BudgetBurn:
    """How many times faster than allowed failures come: 1 uses up the budget exactly in time.

    The slower of a short and a long window, so that neither a blip nor the memory of an old
    outage counts (multi-window burn rates of Google's SRE workbook, chapter 5).
    """

    __slots__ = ("_allowed", "_least", "_windows")

    def __init__(
        self,
        objective: float = 0.999,
        *,
        short_s: float = 300.0,
        long_s: float = 3600.0,
        least: int = 100,
    ) -> None:
        """`least`: fewer results in the short window say nothing, and burn nothing."""
        if not 0 < objective < 1:
            raise ValueError(f"objective={objective!r} must lie between 0 and 1")
        self._allowed = 1 - objective
        self._least = least
        names = ("good", "bad")
        self._windows = (ShareWindow(names, short_s), ShareWindow(names, long_s))

    def record(self, now_s: float, *, good: int = 0, bad: int = 0) -> None:
        """Count results."""
        for window in self._windows:
            if good:
                window.record(now_s, "good", good)
            if bad:
                window.record(now_s, "bad", bad)

    def forgive(self) -> None:
        """Forget the short window: what burned is known to be over. The long one remembers."""
        self._windows[0].clear()

    def rate(self, now_s: float) -> float:
        """The burn rate now."""
        if self._windows[0].total(now_s) < self._least:
            return 0.0
        return min(window.share(now_s, "bad") for window in self._windows) / self._allowed
