import pickle
from dataclasses import replace

import pytest

from pricing.model import Signal
from pricing.surge.city import CitySurge
from pricing.surge.events import DemandEvent, Disposition, SupplyEvent
from pricing.surge.policy.file import load_policy
from pricing.surge.policy.windows import WindowConfig
from tests.support.grid_city import grid_zones

T = 600_000
WINDOW = WindowConfig()
POLICY = load_policy(None, WINDOW)
ZONES = grid_zones(2)
ZONE = ZONES[0].zone_id


@pytest.fixture
def city():
    return CitySurge("grid", ZONES, POLICY, WINDOW)


def request(city, number, at_ms, zone_id=ZONE):
    return city.add(
        DemandEvent(
            request_id=f"r{number}",
            event_id=f"e{number}",
            zone_id=zone_id,
            occurred_ms=at_ms,
            arrived_ms=at_ms,
        )
    )


def beat(city, number, at_ms, zone_id=ZONE):
    return city.add(
        SupplyEvent(
            driver_id=f"d{number}",
            event_id=f"e{number}",
            zone_id=zone_id,
            available=True,
            occurred_ms=at_ms,
            arrived_ms=at_ms,
        )
    )


def changed_ids(states):
    """Zones that changed, without those whose full snapshot is due anyway."""
    return [state.zone_id for state in states.changed if state.demand_count or state.supply_count]


def test_state_tells_all_about_a_surging_zone(city):
    for number in range(20):
        request(city, number, T - 1_000)
    for number in range(10):
        beat(city, number, T - 1_000)
    state = city.states_at(T).states[0]
    assert (state.demand_count, state.supply_count) == (20, 10)
    assert state.multiplier_micro == state.raw_multiplier_micro == 1_250_000
    assert state.price_minor == 1_250
    assert (state.window_start_ms, state.window_end_ms) == (T - 300_000, T)
    assert state.reasons == ("demand_exceeds_supply",)
    assert [type(reason) for reason in state.reasons] == [str]
    assert state.confidence_percent == 100
    assert state.policy_version == POLICY.version
    assert state.signal is Signal.LIVE


def test_every_zone_has_a_state_in_order(city):
    states = city.states_at(T)
    assert [state.zone_id for state in states.states] == [zone.zone_id for zone in ZONES]
    assert (states.city_id, states.tick_ms, states.signal) == ("grid", T, Signal.SILENT)


def test_first_tick_counts_every_zone_as_changed(city):
    states = city.states_at(T)
    assert states.changed == states.states


def test_zone_is_written_on_change_and_every_minute(city):
    city.states_at(T)
    quiet = [city.states_at(T + s * 1_000).changed for s in range(5, 65, 5)]
    assert sorted(state.zone_id for tick in quiet for state in tick) == sorted(
        zone.zone_id for zone in ZONES
    )
    request(city, 1, T + 64_000)
    assert changed_ids(city.states_at(T + 65_000)) == [ZONE]
    assert len(city.states_at(T + 70_000).changed) < len(ZONES)


def test_change_after_a_gap_is_against_previous_tick(city):
    city.states_at(T)
    request(city, 1, T + 100_000)
    beat(city, 1, T + 114_000, ZONES[2].zone_id)
    beat(city, 2, T + 119_000, ZONES[1].zone_id)
    assert changed_ids(city.states_at(T + 120_000)) == [ZONES[1].zone_id]


def test_unknown_zone_is_told_and_not_counted(city):
    assert request(city, 1, T, "elsewhere") is Disposition.UNKNOWN_ZONE
    assert beat(city, 1, T, "elsewhere") is Disposition.UNKNOWN_ZONE
    assert city.states_at(T).signal is Signal.SILENT


def test_zone_of_another_city_is_refused():
    stranger = replace(ZONES[0], city_id="other")
    with pytest.raises(ValueError, match="zone z0-0 is of other, not of grid"):
        CitySurge("grid", [stranger], POLICY, WINDOW)


def test_wrong_tick_changes_nothing(city):
    city.states_at(T)
    with pytest.raises(ValueError, match="is asked for after"):
        city.states_at(T)
    with pytest.raises(ValueError, match="no multiple"):
        city.states_at(T + 12_001)
    assert city.states_at(T + 5_000).tick_ms == T + 5_000


def test_city_pickles_with_what_it_remembers(city):
    request(city, 1, T)
    city.states_at(T)
    copy = pickle.loads(pickle.dumps(city))  # noqa: S301 - bytes of our own
    assert copy.states_at(T + 5_000) == city.states_at(T + 5_000)
