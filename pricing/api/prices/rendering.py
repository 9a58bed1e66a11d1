"""A price as it goes over the wire: JSON body, caching headers, tag. Pure.

Integers become JSON numbers here, each the one that its decimal digits say.
"""

from __future__ import annotations

import functools
from typing import Any

import orjson

from pricing.model import MICRO, Source, currency_exponent
from pricing.reading.answer import Answer, FallbackReason, Via
from pricing.reading.surge_limit import REASON as MODE_LIMIT
from streaming.events.event_types import rfc3339

_STEADY_MS = 15_000
"""Up to this age the confidence is the tick's own (`pricing.surge.confidence`)."""
_STEADY_TICKS = 3
"""Up to this age, in ticks, the freshness is real-time."""
# RFC 5861: how long a client may go on with its copy while it cannot reach us. Five minutes
# is where an answer turns from stale to very stale.
_STALE_IF_ERROR_S = 300
_AGE_MARK = 8_888_777_766_665_555
"""Stands where the age goes; in no other place could the bytes `"age_ms":` precede it."""

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


class PriceTemplate:
    """An answer as bytes but for its age, which is filled in when the price is told.

    Holds for the answer's own age; where `is_steady`, for every age up to `steady_ms`, up to which
    confidence and freshness do not move.
    """

    __slots__ = (
        "_head",
        "_lines",
        "_lines_for",
        "_tail",
        "_tick_ms",
        "etag",
        "has_age",
        "reason",
        "source",
        "steady_ms",
        "zone_id",
    )

    def __init__(self, answer: Answer, mode: str, tick_ms: int) -> None:
        """Raises nothing for any answer; `tick_ms` is how long a client may keep its copy."""
        self.zone_id = answer.zone.zone_id
        self.source, self.reason = answer.source, answer.fallback_reason
        self.has_age = answer.source is not Source.DEFAULT
        self.etag = _etag(answer, mode) if self.has_age else None
        """None for a default fare, which is not to be kept."""
        self.steady_ms = min(_STEADY_MS, _STEADY_TICKS * tick_ms)
        content = body(answer, mode)
        content["age_ms"] = _AGE_MARK
        # Quotes inside of JSON strings are escaped: only the field itself reads like this.
        field = b'"age_ms":'
        head, _, self._tail = orjson.dumps(content).partition(b"%b%d" % (field, _AGE_MARK))
        self._head = head + field
        self._tick_ms = tick_ms
        self._lines_for: tuple[int, int, Via] | None = None
        self._lines = b""

    def body(self, age_ms: int) -> bytes:
        """The JSON body."""
        return b"%b%d%b" % (self._head, age_ms, self._tail)

    def header_lines(self, age_ms: int, via: Via) -> bytes:
        """`Age`, `Cache-Control`, `Cache-Status` and `ETag` as they go over the wire.

        A copy is good for one tick, counted from the data's own time, which is what `Age` tells.
        """
        age_s, ttl_s = age_ms // 1000, (self._tick_ms - age_ms) // 1000
        # They stay the same for a second, in which a busy server tells them thousands of times.
        if self._lines_for != (age_s, ttl_s, via):
            status = _cache_status(self.source, self.reason, via, ttl_s)
            lines = f"age: {age_s}\r\ncache-status: {status}\r\n{self._kept()}"
            self._lines = lines.encode()
            self._lines_for = (age_s, ttl_s, via)
        return self._lines

    def _kept(self) -> str:
        """A default fare is never to be kept: the next request may find a real price."""
        if self.etag is None:
            return "cache-control: no-store\r\n"
        max_age_s = self._tick_ms // 1000
        return (
            f"cache-control: private, max-age={max_age_s}, stale-if-error={_STALE_IF_ERROR_S}\r\n"
            f"etag: {self.etag}\r\n"
        )


RenderedPrice = tuple[PriceTemplate, int, Via]
"""A price as it is told at one moment: its text, its age in ms, and how it was found."""

PriceResponse = tuple[int, bytes, bytes]
"""Status, header lines as they go over the wire, body: it lacks nothing but what every answer of
the API carries. `Content-Length` is among the lines where there is a body."""


def to_response(price: RenderedPrice, if_none_match: str = "") -> PriceResponse:
    """The answer for a client that holds these tags; 304 if the price's own is among them."""
    template, age_ms, via = price
    lines = template.header_lines(age_ms, via)
    if if_none_match and is_known(if_none_match, template.etag):
        return 304, lines, b""
    content = template.body(age_ms)
    length = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(content)
    return 200, lines + length, content


def is_known(if_none_match: str, tag: str | None) -> bool:
    """Whether the client has this state; weak comparison (RFC 9110), our tags hold no comma."""
    if not if_none_match or tag is None:
        return False
    opaque = tag.removeprefix("W/")
    return any(
        candidate in ("*", opaque)
        for candidate in (part.strip().removeprefix("W/") for part in if_none_match.split(","))
    )


def _etag(answer: Answer, mode: str) -> str:
    """A weak tag, for two answers from the same state differ in their age only.

    A price that the mode holds down is one of several that the state may give.
    """
    price = f"-{answer.multiplier_micro}" if MODE_LIMIT in answer.reasons else ""
    return f'W/"{answer.as_of_ms}-{answer.source}-{answer.freshness}-{mode}{price}"'


def _cache_status(source: Source, reason: FallbackReason | None, via: Via, ttl_s: int) -> str:
    """RFC 9211: which of our caches answered, the one next to the origin first."""
    if via is Via.MEMO:
        return f"memo; hit; ttl={ttl_s}"
    collapsed = ", memo; fwd=miss; collapsed" if via is Via.FLIGHT else ""
    if source is Source.REDIS:
        return f"redis; hit; ttl={ttl_s}{collapsed}"
    passed = f"redis; {_passed(reason)}"
    if source is Source.DATABASE:
        return passed + collapsed
    local = f"local; hit; ttl={ttl_s}" if source is Source.STALE_CACHE else "local; fwd=miss"
    return f"{passed}, {local}"


def _passed(reason: FallbackReason | None) -> str:
    """Why Redis was passed by: not even asked, or asked in vain."""
    if reason in (FallbackReason.BREAKER_OPEN, FallbackReason.EMERGENCY_MODE):
        return f"fwd=bypass; detail={reason.replace('_', '-')}"
    return f"fwd=miss; detail={reason}"
