"""From the ratio of demand to supply to a multiplier."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Curve:
    """Straight lines between points (ratio, multiplier), both in millionths; flat outside.

    Raises:
        ValueError: no point, ratios that do not rise, or a multiplier that falls.
    """

    points: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("a curve needs at least one point")
        for (x0, y0), (x1, y1) in pairwise(self.points):
            if x1 <= x0:
                raise ValueError(f"ratios must rise, {x1} comes after {x0}")
            if y1 < y0:
                raise ValueError(f"multipliers must not fall, {y1} comes after {y0}")

    def at(self, ratio_micro: int) -> int:
        """The multiplier at a ratio, rounded down."""
        right = bisect_right(self.points, ratio_micro, key=_ratio)
        if right == 0:
            return self.points[0][1]
        if right == len(self.points):
            return self.points[-1][1]
        (x0, y0), (x1, y1) = self.points[right - 1], self.points[right]
        return y0 + (y1 - y0) * (ratio_micro - x0) // (x1 - x0)

    def ends_before(self, ratio_micro: int) -> bool:
        """Whether the last point lies below a ratio, so that its multiplier is a ceiling."""
        return ratio_micro > self.points[-1][0]


def _ratio(point: tuple[int, int]) -> int:
    return point[0]
