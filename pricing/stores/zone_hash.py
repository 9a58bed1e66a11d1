"""A zone's state as the fields of a Redis hash, and back, exactly. Pure: no I/O.

People read these hashes with `HGETALL pricing:…`, so money and multipliers are decimals and
moments are RFC 3339. The text is exact: decoding gives back every integer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

import orjson

from pricing.model import Signal, ZoneState, currency_exponent
from streaming.events.event_types import rfc3339, to_ms

FIELDS = (
    "version",
    "base_fare",
    "currency",
    "surge_multiplier",
    "raw_multiplier",
    "supply_count",
    "demand_count",
    "signal",
    "confidence",
    "reasons",
    "policy_version",
    "city_id",
    "window_start",
    "updated_at",
)
"""Names of the fields, in the order of `encode`. `version` is `window_end` in epoch ms."""

_MULTIPLIER_PLACES = 6
_CONFIDENCE_PLACES = 2

# Eighteen digits fit a 64-bit integer; a longer number was not written by us.
_INTEGER = re.compile(r"[0-9]{1,18}")
_DECIMAL = re.compile(r"([0-9]{1,18})(?:\.([0-9]{1,6}))?")


def encode(state: ZoneState) -> tuple[str, ...]:
    """The values of `FIELDS`. Every quantity must be at least 0."""
    places = currency_exponent(state.currency)
    return (
        str(state.window_end_ms),
        _decimal(state.base_fare_minor, places, places),
        state.currency,
        _decimal(state.multiplier_micro, _MULTIPLIER_PLACES, 2),
        _decimal(state.raw_multiplier_micro, _MULTIPLIER_PLACES, 2),
        str(state.supply_count),
        str(state.demand_count),
        state.signal.value,
        _decimal(state.confidence_percent, _CONFIDENCE_PLACES, 2),
        orjson.dumps(state.reasons).decode(),
        state.policy_version,
        state.city_id,
        rfc3339(state.window_start_ms),
        rfc3339(state.window_end_ms),
    )


def decode(zone_id: str, fields: Mapping[bytes, bytes]) -> ZoneState:
    """Rebuild a state; fields that are not ours are ignored.

    Raises `ValueError` for a field that is missing or unreadable: somebody else wrote the hash.
    """
    text = {name: _text(fields, name) for name in FIELDS}
    currency = text["currency"]
    return ZoneState(
        zone_id=zone_id,
        city_id=text["city_id"],
        base_fare_minor=_scaled(text["base_fare"], currency_exponent(currency)),
        currency=currency,
        multiplier_micro=_scaled(text["surge_multiplier"], _MULTIPLIER_PLACES),
        raw_multiplier_micro=_scaled(text["raw_multiplier"], _MULTIPLIER_PLACES),
        demand_count=_integer(text["demand_count"]),
        supply_count=_integer(text["supply_count"]),
        signal=Signal(text["signal"]),
        confidence_percent=_scaled(text["confidence"], _CONFIDENCE_PLACES),
        reasons=_reasons(text["reasons"]),
        window_start_ms=_moment(text["window_start"]),
        window_end_ms=_integer(text["version"]),
        policy_version=text["policy_version"],
    )


def _text(fields: Mapping[bytes, bytes], name: str) -> str:
    value = fields.get(name.encode())
    if value is None:
        raise ValueError(f"no field {name}")
    return value.decode()


def _decimal(value: int, places: int, shown: int) -> str:
    """`value` / 10^`places` with at least `shown` decimals, and as many as it takes."""
    whole, rest = divmod(value, 10**places)
    fraction = f"{rest:0{places}d}" if places else ""
    fraction = fraction[:shown] + fraction[shown:].rstrip("0")
    return f"{whole}.{fraction}" if fraction else str(whole)


def _scaled(text: str, places: int) -> int:
    match = _DECIMAL.fullmatch(text)
    fraction = match[2] or "" if match else ""
    if match is None or len(fraction) > places:
        raise ValueError(f"not a decimal with at most {places} places")
    return int(match[1] + fraction.ljust(places, "0"))


def _integer(text: str) -> int:
    if _INTEGER.fullmatch(text) is None:
        raise ValueError("not a whole number")
    return int(text)


def _moment(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a moment without an offset")
    return to_ms(moment)


def _reasons(text: str) -> tuple[str, ...]:
    reasons = orjson.loads(text)
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise ValueError("reasons are not a list of codes")
    return tuple(reasons)
