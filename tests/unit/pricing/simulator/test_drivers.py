from __future__ import annotations

from itertools import pairwise

import pytest

from pricing.simulator.build import living_city
from pricing.simulator.city import LivingCity
from pricing.simulator.city_events import CityEvent, DriverStatus
from pricing.zones import load_catalogue
from tests.support.grid_city import grid_zones

START_MS = 1_795_000_000_000
MINUTES = 20


@pytest.fixture(scope="module")
def city() -> LivingCity:
    return living_city(grid_zones(), start_ms=START_MS, scale=0.5)


@pytest.fixture(scope="module")
def lived(city: LivingCity) -> list[CityEvent]:
    return [*city.opening(), *city.step(START_MS + MINUTES * 60_000, {})]


@pytest.fixture(scope="module")
def beats(lived: list[CityEvent]) -> dict[str, list[DriverStatus]]:
    by_driver: dict[str, list[DriverStatus]] = {}
    for one in lived:
        if isinstance(one, DriverStatus):
            by_driver.setdefault(one.driver_id, []).append(one)
    return by_driver


def test_idle_driver_is_heard_from_every_ten_seconds(beats: dict[str, list[DriverStatus]]):
    gaps = [
        later.at_ms - earlier.at_ms
        for statuses in beats.values()
        for earlier, later in pairwise(statuses)
        if earlier.available
    ]
    assert max(gaps) <= 11_000
    assert sum(gaps) / len(gaps) > 8_000


def test_busy_driver_is_heard_from_every_thirty_seconds(beats: dict[str, list[DriverStatus]]):
    gaps = [
        later.at_ms - earlier.at_ms
        for statuses in beats.values()
        for earlier, later in pairwise(statuses)
        if not earlier.available and later is not statuses[-1]
    ]
    assert max(gaps) <= 30_000


def test_newest_status_of_driver_is_true(city: LivingCity, beats: dict[str, list[DriverStatus]]):
    for driver in city.fleet.drivers:
        newest = beats[driver.driver_id][-1]
        assert newest.available is not driver.busy
        if newest.available:
            assert newest.zone_id == city.zone_ids[driver.zone]


def test_fleet_keeps_each_driver_in_one_place(city: LivingCity):
    idle = [driver for driver in city.fleet.drivers if not driver.busy]
    counted = sum(city.fleet.idle_count(zone) for zone in range(len(city.zone_ids)))
    assert counted == len(idle)


def test_fleet_follows_its_target(city: LivingCity, lived: list[CityEvent]):
    assert lived
    assert city.fleet.size == pytest.approx(city._rates.fleet(city.now_ms), rel=0.05)


def test_new_york_rush_serves_nearly_everybody():
    rush_ms = 1_795_042_800_000  # Wednesday 18 November 2026, 18:00 in New York
    city = living_city(load_catalogue(None).zones, start_ms=rush_ms)
    city.step(rush_ms + 600_000, {})
    busy = sum(driver.busy for driver in city.fleet.drivers) / city.fleet.size
    assert 0.7 < busy < 0.9
    assert city.counts.unmet < 0.02 * city.counts.requests
