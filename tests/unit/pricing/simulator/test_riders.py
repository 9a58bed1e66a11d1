from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from pricing.model import MICRO
from pricing.simulator.demand_table import shipped_table
from pricing.simulator.random_streams import random_stream
from pricing.simulator.rates import demand_shape
from pricing.simulator.riders import Destinations, Riders
from pricing.simulator.streets import Streets
from pricing.zones import load_catalogue
from tests.support.grid_city import grid_zones

HOUR_MS = 3_600_000


def _destinations() -> Destinations:
    zones = grid_zones(2)
    shape = demand_shape([zone.zone_id for zone in zones], "grid", shipped_table())
    return Destinations(shape, Streets(zones))


def _riders(seed: int = 1) -> Riders:
    return Riders(["a", "b", "c", "d"], _destinations(), seed=seed, name="")


def test_arrivals_come_at_their_zones_rate():
    rides = _riders().arrivals(0, HOUR_MS, [1.0, 0.5, 0.0, 0.0], {})
    by_zone = Counter(ride.zone for ride in rides)
    assert by_zone[0] == pytest.approx(3_600, rel=0.06)
    assert by_zone[1] == pytest.approx(1_800, rel=0.08)
    assert set(by_zone) == {0, 1}


def test_arrivals_at_fourfold_price_are_halved():
    rides = _riders().arrivals(0, HOUR_MS, [1.0, 1.0, 0.0, 0.0], {1: 4 * MICRO})
    by_zone = Counter(ride.zone for ride in rides)
    assert by_zone[1] == pytest.approx(by_zone[0] / 2, rel=0.1)


def test_arrivals_do_not_depend_on_step_size():
    rates = [0.2, 0.1, 0.0, 0.3]
    at_once = _riders().arrivals(0, 600_000, rates, {})
    riders = _riders()
    in_steps = [
        ride
        for second in range(600)
        for ride in riders.arrivals(second * 1_000, (second + 1) * 1_000, rates, {})
    ]
    assert {ride.request_id for ride in in_steps} == {ride.request_id for ride in at_once}


def test_arrivals_lie_within_their_step():
    rides = _riders().arrivals(5_000, 6_000, [20.0] * 4, {})
    assert rides
    assert all(5_000 <= ride.at_ms < 6_000 for ride in rides)


def test_gap_between_arrivals_is_as_irregular_as_chance():
    rides = sorted(ride.at_ms for ride in _riders().arrivals(0, HOUR_MS, [1.0, 0, 0, 0], {}))
    gaps = [later - earlier for earlier, later in pairwise(rides)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert deviation == pytest.approx(mean, rel=0.1)


def test_destination_without_records_is_near_rather_than_far():
    rng = random_stream(1, "test")
    zones = grid_zones(8)
    shape = demand_shape([zone.zone_id for zone in zones], "grid", shipped_table())
    destinations = Destinations(shape, Streets(zones))
    drawn = Counter(destinations.draw(0, rng) for _ in range(4_000))
    assert drawn[1] > 3 * drawn[63]


def test_destination_with_records_is_mostly_a_recorded_one():
    zones = load_catalogue(None).zones
    zone_ids = [zone.zone_id for zone in zones]
    shape = demand_shape(zone_ids, "nyc", shipped_table())
    destinations = Destinations(shape, Streets(zones))
    times_square = zone_ids.index("230")
    recorded = set(shape.destinations[times_square][0])
    rng = random_stream(1, "test")
    hits = sum(destinations.draw(times_square, rng) in recorded for _ in range(2_000))
    assert hits / 2_000 >= 0.70


def test_neighbours_are_nearest_without_zone_itself():
    streets = Streets(grid_zones(4))
    assert set(streets.neighbours(5)) == {1, 4, 6, 9, 0, 2}
    assert all(zone not in streets.neighbours(zone) for zone in range(16))


def test_zone_far_from_all_others_has_no_neighbours():
    assert Streets(grid_zones(2, zone_km=9.0)).neighbours(0) == ()


def test_streets_are_longer_than_the_crow_flies():
    streets = Streets(grid_zones(2, zone_km=2.0))
    assert streets.crow_km(0, 1) == pytest.approx(2.0, rel=0.01)
    assert streets.street_km(0, 1) == pytest.approx(2.6, rel=0.01)
    assert streets.street_km(0, 0) == pytest.approx(1.8)
    assert streets.trip_s(0, 1) == pytest.approx(60 * (5 + 2.14 * 2.6), rel=0.01)
