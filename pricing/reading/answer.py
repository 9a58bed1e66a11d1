"""What a zone costs and how good that is: the answer, as a state or the catalogue gives it. Pure.

One shape serves the single read, the batch and the stream. Amounts are integers here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pricing.model import MICRO, Freshness, Source, Zone, ZoneState
from pricing.surge.confidence import LEAST_PERCENT, confidence_at, freshness_at

DEFAULT_REASON = "default_fare"
"""The only reason code of a default fare: no stage of the policy ran."""

STALE_WARNING = "This is the last known price of the zone: no live source could be read."
DEFAULT_WARNING = "This is the default fare of the zone, without surge: no recent price is known."


class FallbackReason(StrEnum):
    """Why an answer did not come from Redis. The words are the outside contract's."""

    REDIS_TIMEOUT = "redis_timeout"
    REDIS_UNAVAILABLE = "redis_unavailable"
    REDIS_MISS = "redis_miss"
    BREAKER_OPEN = "breaker_open"
    ALL_SYSTEMS_UNAVAILABLE = "all_systems_unavailable"
    ALL_SYSTEMS_FAILED = "all_systems_failed"
    EMERGENCY_MODE = "emergency_mode"


class Via(StrEnum):
    """How an answer got its state from where it says."""

    READ = "read"
    """By a read of its own."""
    FLIGHT = "flight"
    """By joining a read under way."""
    MEMO = "memo"
    """By one that ended a moment ago."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a zone costs, where that was found, how old it is and how far to trust it."""

    zone: Zone
    base_fare_minor: int
    multiplier_micro: int
    price_minor: int
    currency: str
    supply_count: int
    demand_count: int
    confidence_percent: int
    """At the answer's own age."""
    policy_version: str | None
    """None for a default fare."""
    reasons: tuple[str, ...]
    source: Source
    freshness: Freshness
    as_of_ms: int
    """When the data was true, epoch ms. For a default fare, which is always true: now."""
    age_ms: int
    fallback_reason: FallbackReason | None
    """None if and only if the source is Redis."""
    warning: str | None
    via: Via = Via.READ


def state_answer(
    zone: Zone,
    state: ZoneState,
    *,
    source: Source,
    reason: FallbackReason | None,
    now_ms: int,
    tick_ms: int,
    via: Via = Via.READ,
) -> Answer:
    """The answer that a state gives at `now_ms`. A state from the future is 0 ms old."""
    age_ms = max(0, now_ms - state.window_end_ms)
    return Answer(
        zone=zone,
        base_fare_minor=state.base_fare_minor,
        multiplier_micro=state.multiplier_micro,
        price_minor=state.price_minor,
        currency=state.currency,
        supply_count=state.supply_count,
        demand_count=state.demand_count,
        confidence_percent=confidence_at(state.confidence_percent, age_ms),
        policy_version=state.policy_version,
        reasons=state.reasons,
        source=source,
        freshness=freshness_at(age_ms, tick_ms),
        as_of_ms=state.window_end_ms,
        age_ms=age_ms,
        fallback_reason=reason,
        warning=STALE_WARNING if source is Source.STALE_CACHE else None,
        via=via,
    )


def default_answer(zone: Zone, *, reason: FallbackReason, now_ms: int) -> Answer:
    """The zone's own base fare at multiplier 1.0; no bound of the zone applies to it."""
    return Answer(
        zone=zone,
        base_fare_minor=zone.base_fare_minor,
        multiplier_micro=MICRO,
        price_minor=zone.base_fare_minor,
        currency=zone.currency,
        supply_count=0,
        demand_count=0,
        confidence_percent=LEAST_PERCENT,
        policy_version=None,
        reasons=(DEFAULT_REASON,),
        source=Source.DEFAULT,
        freshness=Freshness.DEFAULT,
        as_of_ms=now_ms,
        age_ms=0,
        fallback_reason=reason,
        warning=DEFAULT_WARNING,
    )
