from __future__ import annotations

import re
from decimal import Decimal

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pricing.api.prices.rendering import amount, body, factor
from pricing.model import MICRO, Source, currency_exponent
from pricing.reading.answer import state_answer
from pricing.zones.zone_file import (
    GREATEST_MULTIPLIER_MICRO,
    LEAST_MULTIPLIER_MICRO,
    MAX_FARE_MINOR,
)
from tests.support.api import zone
from tests.support.zone_states import TICK_MS, zone_state

# The dearest price that a catalogue allows, and far beyond.
MINOR = st.integers(0, MAX_FARE_MINOR * 10 * 100)
CURRENCY = st.sampled_from(["USD", "JPY", "KWD"])
PLAIN_DECIMAL = re.compile(r"\d+(\.\d+)?")


def printed(number: float) -> tuple[Decimal, int]:
    """What a client reads: the exact decimal, and how many places it was given."""
    text = orjson.dumps(number).decode()
    assert PLAIN_DECIMAL.fullmatch(text), text
    return Decimal(text), len(text.partition(".")[2].rstrip("0"))


@given(MINOR, CURRENCY)
def test_amount_prints_as_its_exact_decimal(minor, currency):
    exponent = currency_exponent(currency)
    value, places = printed(amount(minor, currency))
    assert value == Decimal(minor).scaleb(-exponent)
    assert places <= exponent


@given(st.integers(LEAST_MULTIPLIER_MICRO, GREATEST_MULTIPLIER_MICRO))
def test_factor_prints_as_its_exact_decimal(micro):
    value, places = printed(factor(micro))
    assert value == Decimal(micro).scaleb(-6)
    assert places <= 6


@given(st.integers(0, MAX_FARE_MINOR), st.integers(10, 200), CURRENCY)
def test_price_in_the_body_is_fare_times_multiplier_rounded_half_up(fare, twentieths, currency):
    multiplier = twentieths * 50_000
    state = zone_state(base_fare_minor=fare, multiplier_micro=multiplier, currency=currency)
    answer = state_answer(
        zone(), state, source=Source.REDIS, reason=None, now_ms=TICK_MS, tick_ms=5_000
    )
    data = orjson.loads(orjson.dumps(body(answer, "normal")))["data"]
    exponent = currency_exponent(currency)
    exact = Decimal(fare) * multiplier / MICRO
    rounded = int(exact + Decimal("0.5"))
    assert printed(data["price"])[0] == Decimal(rounded).scaleb(-exponent)
    assert data["currency"] == currency
