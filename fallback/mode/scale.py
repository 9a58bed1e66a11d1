"""Thresholds: a figure enters a level at one value and leaves it only below a lower one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from fallback.mode.level import Level

WORSE = (Level.MINOR, Level.MODERATE, Level.SEVERE, Level.CRITICAL)


@dataclass(frozen=True, slots=True)
class Band:
    """Enter at `enter` or more, leave below `exit`. Between them everything stays as it is."""

    enter: float
    exit: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.enter) and 0 <= self.exit < self.enter):
            raise ValueError(f"enter={self.enter!r}, exit={self.exit!r}: exit must be lower")


@dataclass(frozen=True, slots=True)
class Scale:
    """One band a level; None where the figure alone never leads to that level."""

    minor: Band | None = None
    moderate: Band | None = None
    severe: Band | None = None
    critical: Band | None = None

    def __post_init__(self) -> None:
        for low, high in pairwise(band for band in self.bands if band is not None):
            if not (low.enter < high.enter and low.exit < high.exit):
                raise ValueError(f"{low!r}, {high!r}: a worse level needs greater thresholds")

    @property
    def bands(self) -> tuple[Band | None, ...]:
        """The bands of MINOR to CRITICAL."""
        return (self.minor, self.moderate, self.severe, self.critical)

    def entered(self, value: float) -> Level:
        """The worst level whose `enter` is reached."""
        reached = [
            level
            for level, band in zip(WORSE, self.bands, strict=True)
            if band and value >= band.enter
        ]
        return max(reached, default=Level.NORMAL)

    def kept(self, value: float) -> Level:
        """The worst level that the value does not leave; never better than `entered`."""
        held = [
            level
            for level, band in zip(WORSE, self.bands, strict=True)
            if band and value >= band.exit
        ]
        return max(held, default=Level.NORMAL)

    def threshold(self, level: Level) -> float | None:
        """Where the level begins; for NORMAL, where it ends. None: there is no such value."""
        if level is not Level.NORMAL:
            band = self.bands[level - 1]
            return band.enter if band else None
        return next((band.enter for band in self.bands if band), None)
