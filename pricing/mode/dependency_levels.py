"""How bad a dependency's state is, for itself and beside the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fallback.breaker import State
from fallback.mode import Level, Reading
from fallback.pump import PumpState

_SHUT = (State.OPEN, State.FORCED_OPEN)
_LEAST_FAILURES = 3
"""Fewer failures make no rate: one spurious timeout among ten calls is no outage."""
# Each entered at the first figure and left beyond the second: `docs/operations/modes.md`.
_RATE = (0.05, 0.02)
_LOAD = (0.8, 0.5)
_COVERAGE = (0.80, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a breaker knows of its dependency."""

    state: State
    failures: int = 0
    calls: int = 0
    """Both within the breaker's window."""
    is_suspect: bool = False
    """Calls fail in a row, too few for the breaker: an idle process makes a probe a second."""

    @property
    def is_shut(self) -> bool:
        """Whether it must be taken for gone."""
        return self.state in _SHUT or self.is_suspect

    @property
    def is_well(self) -> bool:
        """Whether calls go there and come back."""
        return not self.is_shut and self.state is not State.HALF_OPEN

    @property
    def rate(self) -> float:
        return self.failures / self.calls if self.calls else 0.0


def redis_reading(redis: Link, database_load: float) -> Reading:
    """`database_load`: share of the queries that Postgres may have at once and has, 0 to 1."""
    if redis.is_shut:
        return Reading(
            value=_word(redis),
            entered=Level.SEVERE if database_load >= _LOAD[0] else Level.MODERATE,
            kept=Level.SEVERE if database_load >= _LOAD[1] else Level.MODERATE,
            threshold="open; severe with Postgres at 80 % of its queries",
        )
    return _by_rate(redis)


def database_reading(database: Link, redis: Link, stale_coverage: float) -> Reading:
    """`stale_coverage`: share of the zones whose last known state can still be served."""
    if not database.is_shut:
        return _by_rate(database)
    if redis.state is not State.HALF_OPEN and not redis.is_shut:
        return Reading(
            value=_word(database), entered=Level.MODERATE, kept=Level.MODERATE, threshold="open"
        )
    entered = kept = Level.SEVERE
    if redis.is_shut and stale_coverage < _COVERAGE[1]:
        kept = Level.CRITICAL
        entered = Level.CRITICAL if stale_coverage < _COVERAGE[0] else Level.SEVERE
    return Reading(
        value=f"{_word(database)}, redis {redis.state.value.lower()}, "
        f"last states of {stale_coverage:.0%} of the zones",
        entered=entered,
        kept=kept,
        threshold="both stores gone; critical below 80 % of last states",
        # Failures in a row do not count here: a process that stalls sees them everywhere.
        is_hard=database.state in _SHUT and redis.state in _SHUT,
    )


def kafka_reading(pump: PumpState | None) -> Reading:
    """None: there is no spool, because the disk does not work, and every event is refused."""
    if pump is None or pump is PumpState.FAILED:
        return _kafka("events are refused: the spool's disk failed", Level.SEVERE, is_hard=True)
    if pump is PumpState.FULL:
        return _kafka("events are refused: the spool is full", Level.CRITICAL, is_hard=True)
    if pump is PumpState.SPOOLING:
        return _kafka("events wait in the spool", Level.MINOR)
    return _kafka(pump.value, Level.NORMAL)


def _kafka(value: str, level: Level, *, is_hard: bool = False) -> Reading:
    return Reading(
        value=value,
        entered=level,
        kept=level,
        threshold="not delivered; critical when the spool is full",
        is_hard=is_hard,
    )


def _by_rate(link: Link) -> Reading:
    if link.state is State.HALF_OPEN:
        return Reading(
            value=_word(link), entered=Level.MINOR, kept=Level.MINOR, threshold="half-open"
        )
    counts = link.failures >= _LEAST_FAILURES
    return Reading(
        value=f"{link.rate:.1%} of calls fail" if link.failures else _word(link),
        entered=Level.MINOR if counts and link.rate > _RATE[0] else Level.NORMAL,
        kept=Level.MINOR if counts and link.rate >= _RATE[1] else Level.NORMAL,
        threshold="5 % of calls fail",
    )


def _word(link: Link) -> str:
    if link.is_suspect and link.state not in _SHUT:
        return "calls fail in a row"
    return f"breaker {link.state.value.lower().replace('_', '-')}"
