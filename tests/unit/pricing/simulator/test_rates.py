from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from pricing.simulator.demand_table import (
    band,
    count_trips,
    shipped_table,
    table_from_json,
    table_to_json,
)
from pricing.simulator.fit import fit
from pricing.simulator.rates import CityClock, Rates, demand_shape
from pricing.simulator.trip_file import Trip
from pricing.zones import load_catalogue

TRIPS = Path(__file__).parents[5] / "shared" / "data" / "nyc_trips_2019-03.csv"
NEW_YORK = ZoneInfo("America/New_York")
ZONE_IDS = [zone.zone_id for zone in load_catalogue(None).zones]


def _rates(requests_per_s: float = 1.0, speed: float = 1.0) -> Rates:
    shape = demand_shape(ZONE_IDS, "nyc", shipped_table())
    start_ms = _ms(18, 0, 0)
    clock = CityClock(start_ms, start_ms, speed, shape.timezone)
    return Rates(shape=shape, clock=clock, requests_per_s=requests_per_s)


def _ms(day: int, hour: int, minute: int) -> int:
    """A moment of November 2026 in New York; the 18th is a Wednesday."""
    return int(datetime(2026, 11, day, hour, minute, tzinfo=NEW_YORK).timestamp() * 1000)


def test_shipped_table_counted_anew_is_the_same():
    if not TRIPS.exists():
        pytest.skip("the recorded trips are not on this machine")
    shipped = table_to_json(shipped_table())
    assert fit(TRIPS) == shipped


def test_table_written_and_read_back_is_equal():
    table = shipped_table()
    assert table_from_json(table_to_json(table)) == table


def test_too_short_trip_counts_its_pickup_only():
    start = datetime(2019, 3, 1, 7, 59, 30)  # noqa: DTZ001 - as in a trips file
    trips = [
        Trip(1, start, start, "a", "b"),
        Trip(2, start, start.replace(hour=8, minute=0, second=29), "a", "b"),
    ]
    table = count_trips(trips, city_id="x", timezone="UTC", origin="a test")
    assert table.pickups == {"a": (2, 0, 0, 0, 0, 0, 0, 0)}
    assert table.hours[0][7] == 2
    assert not table.dropoffs


@pytest.mark.parametrize(
    ("hour", "expected"), [(5, 3), (6, 0), (9, 0), (10, 1), (16, 2), (21, 3), (0, 3)]
)
def test_band_of_an_hour(hour: int, expected: int):
    assert band(hour) == expected


def test_level_over_a_week_has_mean_one():
    shape = demand_shape(ZONE_IDS, "nyc", shipped_table())
    monday = datetime(2026, 11, 16, 0, 30, tzinfo=NEW_YORK)
    levels = [
        shape.level(monday.replace(day=16 + day, hour=hour))
        for day in range(7)
        for hour in range(24)
    ]
    assert sum(levels) / len(levels) == pytest.approx(1.0)


def test_level_is_highest_at_evening_lowest_at_night():
    shape = demand_shape(ZONE_IDS, "nyc", shipped_table())
    rush = shape.level(datetime(2026, 11, 18, 18, 30, tzinfo=NEW_YORK))
    night = shape.level(datetime(2026, 11, 18, 3, 30, tzinfo=NEW_YORK))
    assert rush > 1.5
    assert night < 0.2


def test_shares_sum_to_one_over_all_zones():
    shape = demand_shape(ZONE_IDS, "nyc", shipped_table())
    for shares in (*shape.shares, shape.day_shares):
        assert sum(shares) == pytest.approx(1.0)
        assert min(shares) >= 0.20 / len(ZONE_IDS)


def test_unknown_city_gets_even_shares_in_utc():
    shape = demand_shape(["a", "b"], "elsewhere", shipped_table())
    assert shape.timezone is UTC
    assert shape.day_shares == (0.5, 0.5)


def test_known_city_with_other_zones_gets_even_shares():
    assert demand_shape(["a", "b"], "nyc", shipped_table()).day_shares == (0.5, 0.5)


def test_rates_add_up_to_scale_times_level():
    rates = _rates(requests_per_s=3.0)
    now_ms = _ms(18, 18, 30)
    level = rates.shape.level(rates.clock.local(now_ms))
    assert sum(rates.by_zone(now_ms)) == pytest.approx(3.0 * level)


def test_fleet_at_rush_is_new_york_size():
    assert _rates().fleet(_ms(18, 18, 30)) == pytest.approx(2_350, rel=0.03)


def test_fleet_of_faster_city_has_fewer_busy():
    assert _rates(speed=12.0).fleet(_ms(18, 0, 0)) < 0.6 * _rates().fleet(_ms(18, 0, 0))


def test_fleet_of_the_smallest_city_has_a_driver():
    assert _rates(requests_per_s=0.0001).fleet(_ms(18, 3, 0)) == 1


def test_clock_of_faster_city_turns_hour_only():
    clock = CityClock(1_000, 5_000_000, 24.0, UTC)
    assert clock.city_ms(2_000) == 5_024_000
    assert clock.event_ms(5_024_000) == 2_000
