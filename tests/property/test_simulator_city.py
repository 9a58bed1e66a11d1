from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.model import MICRO
from pricing.simulator.build import living_city
from pricing.simulator.city import LivingCity
from pricing.simulator.city_events import CityEvent, DriverStatus, RideRequest
from tests.support.grid_city import grid_zones

START_MS = 1_795_042_800_000
ZONES = grid_zones(3)

cities = st.builds(
    lambda seed, scale, speed: living_city(
        ZONES, start_ms=START_MS, seed=seed, scale=scale, speed=speed
    ),
    seed=st.integers(0, 2**31),
    scale=st.floats(0.02, 0.5),
    speed=st.sampled_from([1.0, 3.0, 24.0]),
)
priced = st.dictionaries(
    st.sampled_from([zone.zone_id for zone in ZONES]), st.integers(MICRO // 2, 3 * MICRO)
)
stretches = st.lists(st.tuples(st.integers(1, 120), priced), min_size=1, max_size=4)


def _live(city: LivingCity, plan: list[tuple[int, dict[str, int]]]) -> list[CityEvent]:
    sent: list[CityEvent] = city.opening()
    now_ms = START_MS
    for seconds, prices in plan:
        now_ms += seconds * 1_000
        sent += city.step(now_ms, prices)
    return sent


@settings(max_examples=15)
@given(city=cities, plan=stretches)
def test_every_request_is_served_unmet_or_waiting(city: LivingCity, plan):
    before = sum(map(len, city._waiting))
    _live(city, plan)
    after = sum(map(len, city._waiting))
    counts = city.counts
    assert before + counts.requests == counts.served + counts.unmet + after


@settings(max_examples=15)
@given(city=cities, plan=stretches)
def test_every_request_has_its_own_id(city: LivingCity, plan):
    sent = _live(city, plan)
    ids = [one.request_id for one in sent if isinstance(one, RideRequest)]
    assert len(ids) == len(set(ids))


@settings(max_examples=15)
@given(city=cities, plan=stretches)
def test_every_driver_is_in_one_place(city: LivingCity, plan):
    _live(city, plan)
    places = Counter(driver_id for idle in city.fleet._idle for driver_id in idle)
    assert set(places.values()) <= {1}
    assert set(places) == {one.driver_id for one in city.fleet.drivers if not one.busy}


@settings(max_examples=15)
@given(city=cities, plan=stretches)
def test_newest_status_on_duty_is_true(city: LivingCity, plan):
    newest = {one.driver_id: one for one in _live(city, plan) if isinstance(one, DriverStatus)}
    for driver in city.fleet.drivers:
        status = newest[driver.driver_id]
        assert status.available is not driver.busy
        if status.available:
            assert status.zone_id == city.zone_ids[driver.zone]


@settings(max_examples=15)
@given(city=cities, plan=stretches)
def test_events_are_in_order_of_time(city: LivingCity, plan):
    opening = len(city._opening)
    moments = [one.at_ms for one in _live(city, plan)[opening:]]
    assert moments == sorted(moments)
    assert all(START_MS <= moment < city.now_ms for moment in moments)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), plan=stretches)
def test_same_seed_and_prices_give_the_same_city(seed: int, plan):
    one, other = (living_city(ZONES, start_ms=START_MS, seed=seed, scale=0.3) for _ in range(2))
    assert _live(one, plan) == _live(other, plan)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), days=st.integers(1, 300))
def test_same_seed_at_another_week_shifts_every_moment(seed: int, days: int):
    week_ms = days * 7 * 86_400_000
    one = living_city(ZONES, start_ms=START_MS, seed=seed, scale=0.3)
    other = living_city(ZONES, start_ms=START_MS + week_ms, seed=seed, scale=0.3)
    offsets = [(sent.at_ms - START_MS) for sent in one.step(START_MS + 60_000, {})]
    shifted = other.step(START_MS + week_ms + 60_000, {})
    assert offsets == [sent.at_ms - START_MS - week_ms for sent in shifted]
