"""What a price says over the wire: body, caching headers, tag."""

from __future__ import annotations

import pytest

from pricing.api.http.raw_response import headers_of
from pricing.api.prices.rendering import (
    PriceTemplate,
    amount,
    body,
    factor,
    to_response,
)
from pricing.model import MICRO, Source
from pricing.reading.answer import FallbackReason, Via, default_answer, state_answer
from tests.support.api import NOW_MS, zone
from tests.support.zone_states import TICK_MS, zone_state

TICK = 5_000


def answered(source=Source.REDIS, reason=None, *, now_ms=NOW_MS, **changes):
    return state_answer(
        zone(), zone_state(**changes), source=source, reason=reason, now_ms=now_ms, tick_ms=TICK
    )


def test_body_of_a_live_answer_has_every_field_and_no_excuse():
    assert body(answered(), "normal") == {
        "data": {
            "zone_id": "z1",
            "zone_name": "Zone z1",
            "base_fare": 9.25,
            "surge_multiplier": 1.35,
            "price": 12.49,
            "currency": "USD",
            "supply_count": 10,
            "demand_count": 30,
            "confidence": 1.0,
            "policy_version": "nyc-e50a7ac6b9e8",
            "reasons": ("demand_exceeds_supply", "smoothed"),
        },
        "source": "redis",
        "freshness": "real-time",
        "timestamp": "2024-02-27T02:13:20.000Z",
        "age_ms": 2_140,
        "mode": "normal",
    }


def test_body_of_a_default_fare_says_so_in_every_field():
    answer = default_answer(zone(), reason=FallbackReason.ALL_SYSTEMS_FAILED, now_ms=NOW_MS)
    content = body(answer, "emergency")
    assert content["data"] | {"zone_name": ""} == {
        "zone_id": "z1",
        "zone_name": "",
        "base_fare": 9.25,
        "surge_multiplier": 1.0,
        "price": 9.25,
        "currency": "USD",
        "supply_count": 0,
        "demand_count": 0,
        "confidence": 0.1,
        "policy_version": None,
        "reasons": ("default_fare",),
    }
    assert (content["source"], content["freshness"]) == ("default", "default")
    assert (content["timestamp"], content["age_ms"]) == ("2024-02-27T02:13:22.140Z", 0)
    assert content["fallback_reason"] == "all_systems_failed"
    assert content["warning"]


@pytest.mark.parametrize(
    ("minor", "currency", "number"),
    [
        (1235, "USD", 12.35),
        (1, "EUR", 0.01),
        (1200, "USD", 12),
        (1300, "JPY", 1300),
        (1235, "KWD", 1.235),
        (0, "USD", 0),
    ],
)
def test_amount_is_the_number_that_its_digits_say(minor, currency, number):
    assert amount(minor, currency) == number


def test_factor_of_a_multiplier_on_the_lattice_has_two_decimals():
    assert [factor(step * 50_000) for step in (20, 21, 27)] == [1.0, 1.05, 1.35]
    assert factor(MICRO) == 1


def headers(answer, mode="normal"):
    template = PriceTemplate(answer, mode, TICK)
    lines = template.header_lines(answer.age_ms, answer.via)
    return {name.decode(): value.decode() for name, value in headers_of(lines)}


def test_live_answer_may_be_kept_for_a_tick_from_its_own_time():
    told = headers(answered())
    assert told.pop("etag").startswith('W/"')
    assert told == {
        "age": "2",
        "cache-control": "private, max-age=5, stale-if-error=300",
        "cache-status": "redis; hit; ttl=2",
    }


def test_default_fare_may_not_be_kept():
    answer = default_answer(zone(), reason=FallbackReason.ALL_SYSTEMS_FAILED, now_ms=NOW_MS)
    assert headers(answer) == {
        "age": "0",
        "cache-control": "no-store",
        "cache-status": "redis; fwd=miss; detail=all_systems_failed, local; fwd=miss",
    }


LATE, OPEN = FallbackReason.REDIS_TIMEOUT, FallbackReason.BREAKER_OPEN
EMERGENCY = FallbackReason.EMERGENCY_MODE


@pytest.mark.parametrize(
    ("source", "reason", "via", "status"),
    [
        (Source.REDIS, None, Via.READ, "redis; hit; ttl=-58"),
        (Source.REDIS, None, Via.FLIGHT, "redis; hit; ttl=-58, memo; fwd=miss; collapsed"),
        (Source.REDIS, None, Via.MEMO, "memo; hit; ttl=-58"),
        (Source.DATABASE, LATE, Via.READ, "redis; fwd=miss; detail=redis_timeout"),
        (Source.DATABASE, OPEN, Via.READ, "redis; fwd=bypass; detail=breaker-open"),
        (
            Source.DATABASE,
            LATE,
            Via.FLIGHT,
            "redis; fwd=miss; detail=redis_timeout, memo; fwd=miss; collapsed",
        ),
        (Source.DATABASE, LATE, Via.MEMO, "memo; hit; ttl=-58"),
        (
            Source.STALE_CACHE,
            LATE,
            Via.READ,
            "redis; fwd=miss; detail=redis_timeout, local; hit; ttl=-58",
        ),
        (
            Source.STALE_CACHE,
            EMERGENCY,
            Via.READ,
            "redis; fwd=bypass; detail=emergency-mode, local; hit; ttl=-58",
        ),
    ],
)
def test_cache_status_tells_which_cache_answered(source, reason, via, status):
    answer = answered(source, reason, now_ms=TICK_MS + 62_140)
    template = PriceTemplate(answer, "normal", TICK)
    for _ in range(2):
        told = dict(headers_of(template.header_lines(answer.age_ms, via)))
        assert told[b"cache-status"].decode() == status


def test_etag_changes_with_state_source_freshness_and_mode_but_not_with_age():
    def tag(answer, mode="normal"):
        return headers(answer, mode)["etag"]

    live = tag(answered())
    assert tag(answered(now_ms=NOW_MS + 1_000)) == live
    others = {
        tag(answered(), "degraded"),
        tag(answered(Source.DATABASE, FallbackReason.REDIS_MISS)),
        tag(answered(now_ms=NOW_MS + 60_000)),
        tag(answered(tick_ms=TICK_MS + TICK)),
    }
    assert live not in others
    assert len(others) == 4


def test_response_for_a_client_that_has_the_state_has_no_body_and_no_length():
    template = PriceTemplate(answered(), "normal", TICK)
    price = (template, 2_140, Via.READ)
    status, full_lines, content = to_response(price)
    assert (status, content) == (200, template.body(2_140))
    status, lines, content = to_response(price, f'"x", {template.etag}')
    assert (status, content) == (304, b"")
    length = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(template.body(2_140))
    assert full_lines == lines + length


@pytest.mark.parametrize("tags", ["*", 'W/"x"', ""])
def test_default_fare_is_told_in_full_whatever_the_client_has(tags):
    answer = default_answer(zone(), reason=FallbackReason.ALL_SYSTEMS_FAILED, now_ms=NOW_MS)
    price = (PriceTemplate(answer, "normal", TICK), 0, Via.READ)
    assert to_response(price, tags)[0] == 200
