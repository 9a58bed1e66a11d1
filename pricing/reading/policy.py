"""What a price read may do: deadlines, memo, and how old an answer may be. Pure.

A read looks at one frozen `ReadPolicy` when it begins, so that it never sees two modes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fallback.mode.level import Level
from pricing.reading.surge_limit import SurgeLimit

_STALE_LIMITS_MS = {
    Level.NORMAL: 15_000,
    Level.MINOR: 30_000,
    Level.MODERATE: 120_000,
    Level.SEVERE: 600_000,
    Level.CRITICAL: 3_600_000,
}
OLDEST_MS = _STALE_LIMITS_MS[Level.CRITICAL]
"""Nothing older is ever served, from wherever it comes."""


def stale_limit_ms(level: Level) -> int:
    """How old a state may be to be served from this process's memory at a level."""
    return _STALE_LIMITS_MS[level]


def level_of(*, cache_failed: bool, store_failed: bool) -> Level:
    """The level that one read can tell by itself, from which of its stores it could not ask.

    It holds where no orchestrator says more: with both gone the last known state is served for
    as long as it ever may be.
    """
    if cache_failed and store_failed:
        return Level.CRITICAL
    return Level.MODERATE if cache_failed or store_failed else Level.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPolicy:
    """The limits of price reads as of now. Raises `ValueError` naming the bad value."""

    level: Level | None = None
    """At least; each read also tells by what it meets (`level_of`). None: by that alone."""
    redis_timeout_ms: int = 100
    redis_in_flight: int = 32
    """Pipelines at once."""
    database_timeout_ms: int = 500
    database_in_flight: int = 20
    """Queries at once; 0 leaves Postgres alone."""
    memo_ms: int = 250
    """A state read from a store answers for so long; 0: every read asks."""
    deadline_ms: int = 650
    """Of the whole read. What it leaves over both stores' deadlines is for the rungs below."""
    reads_in_flight: int = 2_000
    """Reads that wait for a store at once; one more is answered from memory."""
    surge: SurgeLimit = field(default_factory=SurgeLimit)
    """What the mode leaves of a surge."""

    def __post_init__(self) -> None:
        least = {
            "redis_timeout_ms": 1,
            "redis_in_flight": 0,
            "database_timeout_ms": 1,
            "database_in_flight": 0,
            "memo_ms": 0,
            "deadline_ms": 1,
            "reads_in_flight": 0,
        }
        for name, lowest in least.items():
            if getattr(self, name) < lowest:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least {lowest}")

    def stale_limit_ms(self, met: Level) -> int:
        """How old a state from memory may be, for a read that met this level by itself."""
        return stale_limit_ms(met if self.level is None else max(met, self.level))
