"""A state survives its Redis hash bit for bit, and nothing else makes a state."""

from __future__ import annotations

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.model import MICRO, Signal, ZoneState, currency_exponent
from pricing.stores.zone_hash import FIELDS, decode, encode
from tests.support.zone_states import zone_state

LAST_MS = 253_402_300_799_999  # the year 9999, where RFC 3339 ends
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
AMOUNTS = st.integers(0, 10**15)

STATES = st.builds(
    ZoneState,
    zone_id=WORDS,
    city_id=WORDS,
    base_fare_minor=AMOUNTS,
    currency=st.sampled_from(["USD", "EUR", "JPY", "KWD", "XXX"]),
    multiplier_micro=AMOUNTS,
    raw_multiplier_micro=AMOUNTS,
    demand_count=AMOUNTS,
    supply_count=AMOUNTS,
    signal=st.sampled_from(Signal),
    confidence_percent=st.integers(0, 100),
    reasons=st.lists(WORDS, max_size=4).map(tuple),
    window_start_ms=st.integers(0, LAST_MS),
    window_end_ms=st.integers(0, LAST_MS),
    policy_version=WORDS,
)


def _hash(state: ZoneState) -> dict[bytes, bytes]:
    pairs = zip(FIELDS, encode(state), strict=True)
    return {name.encode(): value.encode() for name, value in pairs}


@given(STATES)
def test_state_survives_its_hash(state):
    assert decode(state.zone_id, _hash(state)) == state


@given(STATES)
def test_hash_says_the_same_in_decimals(state):
    fields = _hash(state)
    unit = 10 ** currency_exponent(state.currency)
    assert Decimal(fields[b"base_fare"].decode()) * unit == state.base_fare_minor
    assert Decimal(fields[b"surge_multiplier"].decode()) * MICRO == state.multiplier_micro
    assert Decimal(fields[b"confidence"].decode()) * 100 == state.confidence_percent


@given(STATES, st.sampled_from(sorted(set(FIELDS) - {"updated_at"})), st.binary(max_size=12))
def test_overwritten_field_is_refused_or_another_state(state, name, value):
    """Never anything but `ValueError`; `updated_at` is for people and is not read."""
    fields = _hash(state) | {name.encode(): value}
    with contextlib.suppress(ValueError):
        decode(state.zone_id, fields)


@pytest.mark.parametrize("name", FIELDS)
def test_missing_field_is_refused(name):
    fields = _hash(zone_state())
    del fields[name.encode()]
    with pytest.raises(ValueError, match=name):
        decode("z1", fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", "-1"),
        ("version", "1.5"),
        ("version", "٣"),  # a digit, but not one of ours
        ("version", "9" * 19),
        ("base_fare", "9.005"),
        ("base_fare", "1e9"),
        ("base_fare", ".5"),
        ("base_fare", " 9.00"),
        ("surge_multiplier", "nan"),
        ("surge_multiplier", "-1.25"),
        ("signal", "dead"),
        ("reasons", "balanced"),
        ("reasons", '{"balanced": 1}'),
        ("reasons", "[1]"),
        ("window_start", "2026-01-01T00:00:00"),
        ("window_start", "yesterday"),
    ],
)
def test_field_that_we_never_write_is_refused(name, value):
    fields = _hash(zone_state()) | {name.encode(): value.encode()}
    with pytest.raises(ValueError, match=r"."):
        decode("z1", fields)


@pytest.mark.parametrize(
    ("currency", "minor", "text"),
    [("USD", 900, b"9.00"), ("USD", 5, b"0.05"), ("JPY", 1_200, b"1200"), ("KWD", 1, b"0.001")],
)
def test_fare_is_written_as_people_write_it(currency, minor, text):
    assert _hash(zone_state(currency=currency, base_fare_minor=minor))[b"base_fare"] == text


@pytest.mark.parametrize(
    ("micro", "text"),
    [(MICRO, b"1.00"), (1_250_000, b"1.25"), (1_583_333, b"1.583333"), (1_500_010, b"1.50001")],
)
def test_multiplier_has_two_decimals_at_least(micro, text):
    assert _hash(zone_state(multiplier_micro=micro))[b"surge_multiplier"] == text
