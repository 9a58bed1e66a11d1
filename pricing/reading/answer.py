"""A price as a client reads it: the answer, its JSON body and its caching headers. Pure.

One shape serves the single read, the batch and the stream. Amounts are integers until the
body is made; there each becomes the JSON number that its decimal digits say.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from pricing.model import MICRO, Freshness, Source, Zone, ZoneState, currency_exponent
from pricing.reading.surge_limit import REASON as MODE_LIMIT
from pricing.surge.confidence import LEAST_PERCENT, confidence_at, freshness_at
from streaming.events.event_types import rfc3339

DEFAULT_REASON = "default_fare"
"""The only reason code of a default fare: no stage of the policy ran."""

STALE_WARNING = "This is the last known price of the zone: no live source could be read."
DEFAULT_WARNING = "This is the default fare of the zone, without surge: no recent price is known."

# RFC 5861: how long a client may go on with its copy while it cannot reach us. Five minutes
# is where an answer turns from stale to very stale.
_STALE_IF_ERROR_S = 300


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


_exponent = functools.cache(currency_exponent)


def amount(minor: int, currency: str) -> int | float:
    """The JSON number of an amount: 1235 in USD is 12.35, in JPY 1235, in KWD 1.235.

    The division of two integers gives the double nearest to the decimal, and the shortest
    text of that double is the decimal again, up to 15 digits.
    """
    exponent = _exponent(currency)
    return minor / 10**exponent if exponent else minor


def factor(micro: int) -> float:
    """The JSON number of a multiplier: 1_250_000 is 1.25."""
    return micro / MICRO


def body(answer: Answer, mode: str) -> dict[str, Any]:
    """The JSON object of an answer, as it reads in system mode `mode`."""
    content: dict[str, Any] = {
        "data": {
            "zone_id": answer.zone.zone_id,
            "zone_name": answer.zone.name,
            "base_fare": amount(answer.base_fare_minor, answer.currency),
            "surge_multiplier": factor(answer.multiplier_micro),
            "price": amount(answer.price_minor, answer.currency),
            "currency": answer.currency,
            "supply_count": answer.supply_count,
            "demand_count": answer.demand_count,
            "confidence": answer.confidence_percent / 100,
            "policy_version": answer.policy_version,
            "reasons": answer.reasons,
        },
        "source": answer.source,
        "freshness": answer.freshness,
        "timestamp": _timestamp(answer.as_of_ms),
        "age_ms": answer.age_ms,
        "mode": mode,
    }
    if answer.fallback_reason is not None:
        content["fallback_reason"] = answer.fallback_reason
    if answer.warning is not None:
        content["warning"] = answer.warning
    return content


@functools.lru_cache(maxsize=256)
def _timestamp(epoch_ms: int) -> str:
    """All zones of a city share their tick, and so its text."""
    return rfc3339(epoch_ms)


def caching_headers(answer: Answer, mode: str, tick_ms: int) -> dict[str, str]:
    """`Age`, `Cache-Control`, `Cache-Status` and, but for a default fare, `ETag`.

    A copy is good for one tick, counted from the data's own time, which is what `Age` tells.
    A default fare is never to be kept: the next request may find a real price.
    """
    headers = {
        "Age": str(answer.age_ms // 1000),
        "Cache-Control": "no-store",
        "Cache-Status": _cache_status(answer, tick_ms),
    }
    if answer.source is not Source.DEFAULT:
        headers["Cache-Control"] = _cache_control(tick_ms)
        headers["ETag"] = _etag(answer, mode)
    return headers


class Rendered:
    """An answer as bytes, for every age at which only the age itself still changes.

    Up to `steady_ms` neither confidence nor freshness move, so that body and headers are the
    same but for a few digits. Says what `body` and `caching_headers` say: a test compares.
    """

    __slots__ = (
        "_constant",
        "_head",
        "_lines",
        "_lines_for",
        "_status",
        "_tail",
        "_tick_ms",
        "etag",
        "key",
        "steady_ms",
    )

    def __init__(
        self,
        answer: Answer,
        mode: str,
        tick_ms: int,
        *,
        key: Hashable = None,
        is_steady: bool = True,
    ) -> None:
        """`answer` at the age of 0 ms, in the mode in which it is told.

        `key` stands for all that shaped the answer beside its state. Not steady: the price itself
        changes with the age.
        """
        content = body(answer, mode)
        content["age_ms"] = _AGE_MARK
        # Quotes inside of JSON strings are escaped: only the field itself reads like this.
        field = b'"age_ms":'
        head, _, self._tail = orjson.dumps(content).partition(b"%b%d" % (field, _AGE_MARK))
        self._head = head + field
        self.key = key
        self.etag = _etag(answer, mode)
        self.steady_ms = min(STEADY_MS, 3 * tick_ms) if is_steady else -1
        self._constant = (
            f"content-type: application/json\r\netag: {self.etag}\r\n"
            f"cache-control: {_cache_control(tick_ms)}\r\n"
        ).encode()
        self._lines_for: tuple[int, int, Via] | None = None
        self._lines = b""
        self._tick_ms = tick_ms
        # With the time to live left open, where there is one.
        read = f"redis; {_passed(answer.fallback_reason)}"
        if answer.source is Source.REDIS:
            read = "redis; hit; ttl=%d"
        self._status = {
            Via.MEMO: b"memo; hit; ttl=%d",
            Via.READ: read.encode(),
            Via.FLIGHT: f"{read}{_COLLAPSED}".encode(),
        }

    def body(self, age_ms: int) -> bytes:
        """The JSON body at an age of at most `steady_ms`."""
        return b"%b%d%b" % (self._head, age_ms, self._tail)

    def lines(self, age_ms: int, via: Via) -> bytes:
        """Content type and caching headers, as they go over the wire; the same for a second."""
        age_s, ttl_s = age_ms // 1000, (self._tick_ms - age_ms) // 1000
        if self._lines_for != (age_s, ttl_s, via):
            status = self._status[via]
            if b"%d" in status:
                status %= ttl_s
            self._lines = b"%bage: %d\r\ncache-status: %b\r\n" % (self._constant, age_s, status)
            self._lines_for = (age_s, ttl_s, via)
        return self._lines


_COLLAPSED = ", memo; fwd=miss; collapsed"
_AGE_MARK = 8_888_777_766_665_555
STEADY_MS = 15_000
"""Up to this age the confidence is the tick's own."""


def _cache_control(tick_ms: int) -> str:
    return f"private, max-age={tick_ms // 1000}, stale-if-error={_STALE_IF_ERROR_S}"


def _etag(answer: Answer, mode: str) -> str:
    """A weak tag, for two answers from the same state differ in their age only.

    A price that the mode holds down is one of several that the state may give.
    """
    price = f"-{answer.multiplier_micro}" if MODE_LIMIT in answer.reasons else ""
    return f'W/"{answer.as_of_ms}-{answer.source}-{answer.freshness}-{mode}{price}"'


def _cache_status(answer: Answer, tick_ms: int) -> str:
    """RFC 9211: which of our caches answered, the one next to the origin first."""
    ttl_s = (tick_ms - answer.age_ms) // 1000
    if answer.via is Via.MEMO:
        return f"memo; hit; ttl={ttl_s}"
    collapsed = _COLLAPSED if answer.via is Via.FLIGHT else ""
    if answer.source is Source.REDIS:
        return f"redis; hit; ttl={ttl_s}{collapsed}"
    passed = f"redis; {_passed(answer.fallback_reason)}"
    if answer.source is Source.DATABASE:
        return passed + collapsed
    local = f"local; hit; ttl={ttl_s}" if answer.source is Source.STALE_CACHE else "local; fwd=miss"
    return f"{passed}, {local}"


def _passed(reason: FallbackReason | None) -> str:
    """Why Redis was passed by: not even asked, or asked in vain."""
    if reason in (FallbackReason.BREAKER_OPEN, FallbackReason.EMERGENCY_MODE):
        return f"fwd=bypass; detail={reason.replace('_', '-')}"
    return f"fwd=miss; detail={reason}"
