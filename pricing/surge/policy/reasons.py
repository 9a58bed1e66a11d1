"""Why a multiplier is what it is: a code for each cause."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pricing.model import Signal


class Reason(StrEnum):
    """A reason code. `meaning` says it in one line, for people and for the documentation."""

    meaning: str

    def __new__(cls, code: str, meaning: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    NO_DATA = "no_data", "nobody asked for a ride, and no driver is available"
    ZERO_SUPPLY = "zero_supply", "rides are asked for, and no driver is available"
    ZERO_DEMAND = "zero_demand", "drivers are available, and nobody asked for a ride"
    DEMAND_EXCEEDS_SUPPLY = "demand_exceeds_supply", "more rides asked for than drivers available"
    BALANCED = "balanced", "at least as many drivers available as rides asked for"
    SUPPLY_UNKNOWN = "supply_unknown", "no driver of the city was heard from for too long"
    LOW_VOLUME = "low_volume", "so few rides and drivers that the ratio is a guess"
    SUPPLY_HELD = "supply_held", "no driver of the city is heard from; supply is kept as it was"
    CURVE_CEILING = "curve_ceiling", "the ratio lies beyond the end of the curve"
    ROUNDED = "rounded", "rounded down to a whole step"
    ZONE_MIN = "zone_min", "raised to the least multiplier of the zone or its class"
    ZONE_MAX = "zone_max", "lowered to the greatest multiplier of the zone or its class"


def base_reason(demand: int, supply: int, signal: Signal) -> Reason:
    """The one code that every multiplier has: what demand and supply looked like."""
    if signal is Signal.SILENT:
        return Reason.SUPPLY_UNKNOWN
    if supply == 0:
        return Reason.ZERO_SUPPLY if demand else Reason.NO_DATA
    if demand == 0:
        return Reason.ZERO_DEMAND
    return Reason.DEMAND_EXCEEDS_SUPPLY if demand > supply else Reason.BALANCED


def doubts(demand: int, supply: int, signal: Signal, *, low_volume: int) -> tuple[Reason, ...]:
    """Codes that say why the counts deserve less trust; they change no value."""
    few = (Reason.LOW_VOLUME,) if 0 < demand + supply < low_volume else ()
    return (*few, Reason.SUPPLY_HELD) if signal is Signal.HELD else few
