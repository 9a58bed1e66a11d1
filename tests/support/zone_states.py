"""States and ticks of zones, made to measure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from pricing.model import MICRO, Signal, ZoneState
from pricing.ports import CityTick

TICK_MS = 1_709_000_000_000
"""A tick: 2024-02-27T02:13:20Z."""
STEP_MS = 5_000
WINDOW_MS = 300_000


def zone_state(zone_id: str = "z1", tick_ms: int = TICK_MS, **changes: Any) -> ZoneState:
    """A surging zone at a tick; `changes` are fields of `ZoneState`."""
    state = ZoneState(
        zone_id=zone_id,
        city_id="nyc",
        base_fare_minor=925,
        currency="USD",
        multiplier_micro=1_350_000,
        raw_multiplier_micro=1_583_333,
        demand_count=30,
        supply_count=10,
        signal=Signal.LIVE,
        confidence_percent=100,
        reasons=("demand_exceeds_supply", "smoothed"),
        window_start_ms=tick_ms - WINDOW_MS,
        window_end_ms=tick_ms,
        policy_version="nyc-e50a7ac6b9e8",
    )
    return replace(state, **changes)


def later(state: ZoneState, gone_ms: int) -> ZoneState:
    """The same state at a later tick."""
    return replace(
        state,
        window_start_ms=state.window_start_ms + gone_ms,
        window_end_ms=state.window_end_ms + gone_ms,
    )


def city_tick(
    tick_ms: int = TICK_MS, states: Iterable[ZoneState] = (), *, city_id: str = "nyc"
) -> CityTick:
    return CityTick(city_id=city_id, tick_ms=tick_ms, snapshots=tuple(states))


def calm(state: ZoneState) -> ZoneState:
    """A state that tells something else: no surge."""
    return replace(state, multiplier_micro=MICRO, demand_count=0, reasons=("zero_demand",))
