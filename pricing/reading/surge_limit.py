"""What a level of the mode leaves of a surge: applied where a price is read, never stored. Pure.

With m the zone's multiplier: as it is while NORMAL or MINOR; at most 2.0 when MODERATE; when
SEVERE it fades to 1.0 over 5 minutes of age, and is at most 1.5; at most 1.0 when CRITICAL. Floored
to the policy's quantum. A worse level or an older state never gives more, nor more than m.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from fallback.mode import Level
from pricing.model import MICRO, ZoneState

REASON = "mode_limit"
"""Added to the reasons of a price that the mode holds down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SurgeLimit:
    """The limit at one level. Raises `ValueError` naming the bad value."""

    level: Level = Level.NORMAL
    quantum_micro: int = 50_000
    moderate_max_micro: int = 2 * MICRO
    severe_max_micro: int = 3 * MICRO // 2
    severe_fade_ms: int = 300_000

    def __post_init__(self) -> None:
        for name in ("quantum_micro", "severe_fade_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least 1")
        if not MICRO <= self.severe_max_micro <= self.moderate_max_micro:
            raise ValueError(f"severe_max_micro={self.severe_max_micro!r} is out of range")

    @property
    def ages(self) -> bool:
        """Whether the limit depends on the age of a state."""
        return self.level is Level.SEVERE

    def multiplier_micro(self, multiplier_micro: int, age_ms: int) -> int:
        """What is charged of a multiplier, for a state so old."""
        if self.level <= Level.MINOR:
            return multiplier_micro
        if self.level is Level.MODERATE:
            most = self.moderate_max_micro
        elif self.level is Level.CRITICAL:
            most = MICRO
        else:
            surge_micro = max(0, multiplier_micro - MICRO)
            left_ms = max(0, self.severe_fade_ms - age_ms)
            faded_micro = MICRO + surge_micro * left_ms // self.severe_fade_ms
            most = min(faded_micro, self.severe_max_micro)
        if multiplier_micro <= most:
            return multiplier_micro
        return most - most % self.quantum_micro

    def apply(self, state: ZoneState, age_ms: int) -> ZoneState:
        """The state as it is told; the very same one where nothing is held down."""
        if self.level <= Level.MINOR:
            return state
        micro = self.multiplier_micro(state.multiplier_micro, age_ms)
        if micro == state.multiplier_micro:
            return state
        return replace(state, multiplier_micro=micro, reasons=(*state.reasons, REASON))
