"""States of a whole city, against the definitions; and which of them count as changed."""

from __future__ import annotations

import pickle
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.surge.city import CitySurge
from pricing.surge.events import DemandEvent, Disposition, SupplyEvent
from pricing.surge.policy.file import load_policy
from pricing.surge.policy.windows import WindowConfig
from tests.support.grid_city import grid_zones
from tests.support.surge_model import (
    Beat,
    Record,
    Request,
    counts_at,
    is_full_snapshot_due,
    multiplier,
)

unhurried = settings(deadline=None)
"""A busy machine is slow now and then; no single example has a deadline."""

START = 1_772_000_000_000
TICK = 5_000
WINDOW = WindowConfig()
POLICY = load_policy(None, WINDOW)
ZONES = [
    replace(zone, zone_class=zone_class)
    for zone, zone_class in zip(grid_zones(2), ["core", "airport", "outer", "moon"], strict=True)
]
MODEL_CLASS = {"moon": "outer"}
"""What the policy does not name is priced as its default class."""

zone_ids = st.sampled_from([*(zone.zone_id for zone in ZONES), "elsewhere"])
ages = st.integers(0, 320_000) | st.integers(0, 6_000)
delays = st.sampled_from([0, 100, 4_000, 90_000])


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """Bursts of requests and heartbeats of the ten minutes before and after START."""
    records: list[Record] = []
    for burst in range(draw(st.integers(1, 5))):
        zone_id = draw(zone_ids)
        at_ms = START - draw(ages) + draw(st.integers(0, 60_000))
        arrived_ms = at_ms + draw(delays)
        for number in range(draw(st.sampled_from([1, 4, 15]))):
            name = f"{burst}-{number}"
            common = {
                "event_id": name,
                "zone_id": zone_id,
                "occurred_ms": at_ms,
                "arrived_ms": arrived_ms,
            }
            if draw(st.booleans()):
                records.append(Request(request_id=name, **common))
            else:
                records.append(Beat(driver_id=name, available=number % 5 > 0, **common))
    return records


def city_with(records: list[Record]) -> CitySurge:
    city = CitySurge("grid", ZONES, POLICY, WINDOW)
    known = {zone.zone_id for zone in ZONES}
    for record in records:
        fields = {name: getattr(record, name) for name in record.__slots__}
        kind = DemandEvent if isinstance(record, Request) else SupplyEvent
        disposition = city.add(kind(**fields))
        assert (disposition is Disposition.UNKNOWN_ZONE) == (record.zone_id not in known)
    return city


def told(records: list[Record], tick_ms: int) -> dict[str, tuple[int, int, str, int]]:
    """Demand, supply, signal and multiplier of each zone, by the model."""
    known = {zone.zone_id for zone in ZONES}
    counts = counts_at([one for one in records if one.zone_id in known], tick_ms)
    prices = {}
    for zone in ZONES:
        demand, supply = counts.of(zone.zone_id)
        zone_class = MODEL_CLASS.get(zone.zone_class, zone.zone_class)
        price = multiplier(demand, supply, counts.signal, zone_class=zone_class)
        prices[zone.zone_id] = (demand, supply, counts.signal, price)
    return prices


gaps = st.lists(st.sampled_from([1, 1, 2, 7]), min_size=1, max_size=8)


@settings(unhurried, max_examples=200)
@given(records=logs(), gaps=gaps, pickled=st.booleans())
def test_states_and_changes_follow_the_definitions(records, gaps, pickled):
    city, tick_ms = city_with(records), START
    city.states_at(tick_ms)
    for gap in gaps:
        if pickled:
            city = pickle.loads(pickle.dumps(city))  # noqa: S301 - bytes of our own
        tick_ms += gap * TICK
        now, before = told(records, tick_ms), told(records, tick_ms - TICK)
        answer = city.states_at(tick_ms)
        assert {
            state.zone_id: (
                state.demand_count,
                state.supply_count,
                state.signal.value,
                state.multiplier_micro,
            )
            for state in answer.states
        } == now
        assert [state.zone_id for state in answer.changed] == [
            zone_id
            for zone_id in now
            if now[zone_id] != before[zone_id] or is_full_snapshot_due(zone_id, tick_ms)
        ]


@settings(unhurried, max_examples=50)
@given(records=logs(), gaps=gaps)
def test_restarted_city_equals_one_that_ran_on(records, gaps):
    """From its second tick on to the last bit; at its first it may only tell more."""
    ran_on, tick_ms = city_with(records), START - TICK
    ran_on.states_at(tick_ms)
    restarted = city_with([one for one in records if one.arrived_ms > tick_ms - WINDOW.memory_ms])
    first = restarted.states_at(START)
    expected = ran_on.states_at(START)
    assert first.states == expected.states
    assert set(first.changed) >= set(expected.changed)
    tick_ms = START
    for gap in gaps:
        tick_ms += gap * TICK
        assert restarted.states_at(tick_ms) == ran_on.states_at(tick_ms)
