"""Every knob of a level, as one frozen policy that a request reads once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fallback.mode import Level
from pricing.reading.policy import ReadPolicy
from pricing.reading.surge_limit import SurgeLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What one level changes. None: as configured. The figures: `docs/operations/modes.md`."""

    redis_timeout_ms: int | None = None
    redis_in_flight: int | None = None
    """Low at bad levels, where calls are mostly probes; one pipeline still carries many reads."""
    database_in_flight: int | None = None
    memo_ms: int | None = None
    """The shortest memo; one that is switched off stays off."""
    retry_percent: int = 10
    """Of the calls, on other paths than price reads."""
    quote_ttl_s: int = 120
    sheddable_percent: int = 100
    """Of the requests nobody waits for: batches, exports."""
    sheddable_plus_percent: int = 100
    """Of the requests that can wait: maps, histories, what-ifs."""
    critical_percent: int = 100
    """Of the room for requests that people wait for: quotes."""
    push_every_s: int | None = 1
    """Distance of live updates; None: paused."""


KNOBS: dict[Level, Knobs] = {
    Level.NORMAL: Knobs(),
    Level.MINOR: Knobs(
        redis_timeout_ms=80, memo_ms=500, retry_percent=5, sheddable_percent=50, push_every_s=2
    ),
    Level.MODERATE: Knobs(
        redis_timeout_ms=50,
        database_in_flight=12,
        memo_ms=1_000,
        retry_percent=0,
        quote_ttl_s=90,
        sheddable_percent=0,
        sheddable_plus_percent=25,
        push_every_s=5,
    ),
    Level.SEVERE: Knobs(
        redis_timeout_ms=25,
        redis_in_flight=2,
        database_in_flight=4,
        memo_ms=2_000,
        retry_percent=0,
        quote_ttl_s=60,
        sheddable_percent=0,
        sheddable_plus_percent=0,
        critical_percent=50,
        push_every_s=15,
    ),
    Level.CRITICAL: Knobs(
        redis_timeout_ms=25,
        redis_in_flight=1,
        database_in_flight=1,
        memo_ms=5_000,
        retry_percent=0,
        quote_ttl_s=60,
        sheddable_percent=0,
        sheddable_plus_percent=0,
        critical_percent=30,
        push_every_s=None,
    ),
}


_MODES = tuple(level.mode.value for level in Level)
"""Looked up once, for every request needs it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModePolicy:
    """What one level allows, read once by each request."""

    level: Level = Level.NORMAL
    read: ReadPolicy = field(default_factory=ReadPolicy)
    ramping: ReadPolicy = field(default_factory=ReadPolicy)
    """The same for calls to a store that is given its load back: they have their full deadline.
    With a shortened one they would fail by our own haste, the ramp with them, and the mode that
    waits for the ramp would keep them short."""
    knobs: Knobs = field(default_factory=Knobs)

    @property
    def mode(self) -> str:
        """The public mode."""
        return _MODES[self.level]


def policies(base: ReadPolicy, quantum_micro: int) -> tuple[ModePolicy, ...]:
    """The policy of each level, by its number; a configured limit is never widened."""
    reads = [_read(base, level, quantum_micro) for level in Level]
    return tuple(
        ModePolicy(
            level=level,
            read=read,
            ramping=replace(read, redis_timeout_ms=base.redis_timeout_ms),
            knobs=KNOBS[level],
        )
        for level, read in zip(Level, reads, strict=True)
    )


def _read(base: ReadPolicy, level: Level, quantum_micro: int) -> ReadPolicy:
    knobs = KNOBS[level]
    memo_ms = max(base.memo_ms, knobs.memo_ms or 0) if base.memo_ms else 0
    return replace(
        base,
        level=level,
        redis_timeout_ms=_least(base.redis_timeout_ms, knobs.redis_timeout_ms),
        redis_in_flight=_least(base.redis_in_flight, knobs.redis_in_flight),
        database_in_flight=_least(base.database_in_flight, knobs.database_in_flight),
        memo_ms=memo_ms,
        surge=SurgeLimit(level=level, quantum_micro=quantum_micro),
    )


def _least(configured: int, knob: int | None) -> int:
    return configured if knob is None else min(configured, knob)
