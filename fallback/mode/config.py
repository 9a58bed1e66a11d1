"""What is watched, and how long the mode waits before it believes it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from fallback.config_check import check_field
from fallback.mode.scale import Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One thing that is watched."""

    name: str
    scale: Scale | None = None
    """Judges a plain figure. None: its readings come with their levels."""
    smoothed: bool = False
    """A reading is the median of the last `median_ticks`: for figures that jump, as latencies."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeConfig:
    """Dwells of the mode, in seconds. Raises `ValueError` naming the field and the bad value.

    The figures were chosen by simulation: a dependency that comes and goes every 25 s makes 8
    changes an hour with these, 299 without them.
    """

    inputs: tuple[InputSpec, ...]
    tick_s: float = 1.0
    """Distance of two regular steps; a step sooner than half of it judges hard causes only."""
    up_dwell_s: float = 3.0
    """An input is believed once it stood at a level for so long, counted in ticks."""
    down_dwell_s: float = 60.0
    """One level down after everything was below that level's exit for so long."""
    hold_s: float = 300.0
    """No way down for so long after `hold_after_reentries` relapses."""
    hold_after_reentries: int = 3
    reentry_window_s: float = 600.0
    flap_turns: int = 5
    """So many changes of direction within `flap_window_s` are flapping. Several levels in one
    direction count once: a single outage and its recovery are two turns."""
    flap_window_s: float = 600.0
    blind_after_s: float = 30.0
    """An input without a reading keeps its level for so long, then counts as MINOR."""
    median_ticks: int = 5

    def __post_init__(self) -> None:
        """Check every range."""
        names = [spec.name for spec in self.inputs]
        check_field(self, "inputs", bool(names) and len(set(names)) == len(names))
        for name in ("tick_s", "up_dwell_s", "down_dwell_s", "reentry_window_s", "flap_window_s"):
            check_field(self, name, 0 < getattr(self, name) < math.inf)
        for name in ("hold_s", "blind_after_s"):
            check_field(self, name, 0 <= getattr(self, name) < math.inf)
        for name in ("hold_after_reentries", "flap_turns", "median_ticks"):
            check_field(self, name, getattr(self, name) >= 1)
        check_field(self, "down_dwell_s", self.down_dwell_s >= self.tick_s)

    @property
    def up_ticks(self) -> int:
        """How many regular steps in a row make a reading believed."""
        return max(1, math.ceil(self.up_dwell_s / self.tick_s - 1e-9))
