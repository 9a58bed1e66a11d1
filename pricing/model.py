"""The words of the domain as frozen values. Pure: standard library only.

Inside the service every quantity is an integer: time in epoch milliseconds (`_ms`), money in
minor units (`_minor`), multipliers and ratios in millionths (`_micro`), shares in percent
(`_percent`). No float touches a price.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MICRO = 1_000_000
"""One whole in millionths: a multiplier of 1.25 is 1_250_000."""

# ISO 4217: every currency has two decimals but these.
_NO_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"


def currency_exponent(code: str) -> int:
    """Decimals of an ISO 4217 currency: 2 for USD, 0 for JPY, 3 for KWD."""
    if code in _NO_DECIMALS.split():
        return 0
    return 3 if code in _THREE_DECIMALS.split() else 2


def half_up(numerator: int, denominator: int) -> int:
    """Round numerator / denominator to the nearest integer, ties upward; both at least 0.

    Half-up and not half-even, so that a client who recomputes a fare by hand, in a
    spreadsheet or in Postgres' `numeric` gets our cent.
    """
    return (2 * numerator + denominator) // (2 * denominator)


class Source(StrEnum):
    """Where an answer came from, in the order of the ladder."""

    REDIS = "redis"
    DATABASE = "database"
    STALE_CACHE = "stale_cache"
    DEFAULT = "default"


class Freshness(StrEnum):
    """How recent an answer is, in words: at most 3 ticks, at most 5 min, older, no state at all."""

    REAL_TIME = "real-time"
    STALE = "stale"
    VERY_STALE = "very_stale"
    DEFAULT = "default"


class Signal(StrEnum):
    """Whether a city's drivers are heard from: decides how its supply is read."""

    LIVE = "live"
    HELD = "held"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A piece of a city that has one price."""

    zone_id: str
    """Opaque; unique over all cities."""
    name: str
    city_id: str
    zone_class: str
    """Names a class of the city's policy."""
    base_fare_minor: int
    """Price of a typical ride from here at multiplier 1.0."""
    currency: str
    """ISO 4217."""
    lat: float
    lon: float
    area_km2: float
    min_multiplier_micro: int
    max_multiplier_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneState:
    """What the processor found out about one zone at one tick."""

    zone_id: str
    city_id: str
    base_fare_minor: int
    currency: str
    multiplier_micro: int
    """What a rider pays, after every stage."""
    raw_multiplier_micro: int
    """What demand and supply alone ask for, before bounds and rounding."""
    demand_count: int
    supply_count: int
    signal: Signal
    confidence_percent: int
    """At the tick itself; an answer lowers it by its age."""
    reasons: tuple[str, ...]
    """Reason codes in the order of the stages; the first is the base code."""
    window_start_ms: int
    window_end_ms: int
    """The tick. Also the version: a newer state has a greater one."""
    policy_version: str

    @property
    def price_minor(self) -> int:
        """The zone's base fare at this multiplier, rounded half-up."""
        return half_up(self.base_fare_minor * self.multiplier_micro, MICRO)


def is_changed(state: ZoneState, previous: ZoneState | None) -> bool:
    """Whether a state tells more than the previous tick's did (None: there was none)."""
    return previous is None or _comparison_key(state) != _comparison_key(previous)


def _comparison_key(state: ZoneState) -> tuple[object, ...]:
    return (
        state.demand_count,
        state.supply_count,
        state.signal,
        state.multiplier_micro,
        state.reasons,
        state.policy_version,
    )
