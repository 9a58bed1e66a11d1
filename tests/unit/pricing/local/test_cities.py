from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from pricing.demo import DemoOptions
from pricing.errors import TripsError
from pricing.local.cities import make_cities, read_trips_file
from pricing.model import MICRO
from pricing.simulator.city_events import DriverStatus, RideRequest
from pricing.simulator.trip_file import COLUMNS
from pricing.zones import Catalogue
from tests.support.grid_city import grid_zones

START_MS = 1_795_042_800_000
TRIP = "2019-03-04 12:00:00,2019-03-04 12:10:00,z0-0,z1-1,1,1.2,7.0,9.3,yellow"


@pytest.fixture
def catalogue() -> Catalogue:
    other = [
        replace(zone, zone_id=f"o{zone.zone_id}", city_id="other")
        for zone in grid_zones(2, city_id="other")
    ]
    return Catalogue(zones=(*grid_zones(4), *other))


def _file(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "trips.csv"
    path.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return path


def test_cities_open_with_drivers_before_requests(catalogue: Catalogue):
    cities = make_cities(DemoOptions(), catalogue, None, START_MS)
    places, requests = cities.opening()
    assert {type(one) for one in places} == {DriverStatus}
    assert {type(one) for one in requests} == {RideRequest}
    assert {one.zone_id[0] for one in places} == {"z", "o"}


def test_cities_share_the_scale_by_their_zones(catalogue: Catalogue):
    grid, other = make_cities(DemoOptions(), catalogue, None, START_MS).all
    assert grid.fleet.size == pytest.approx(4 * other.fleet.size, rel=0.1)


def test_cities_in_open_loop_take_no_notice_of_prices(catalogue: Catalogue):
    dear = {zone.zone_id: 4 * MICRO for zone in catalogue.zones}
    options = DemoOptions(open_loop=True)
    one, other = (make_cities(options, catalogue, None, START_MS) for _ in range(2))
    later_ms = START_MS + 60_000
    assert list(one.step(later_ms, dear)) == list(other.step(later_ms, {}))


def test_cities_of_two_runs_with_one_seed_have_their_own_request_ids(catalogue: Catalogue):
    starts = (START_MS, START_MS + 7 * 86_400_000)
    one, other = (
        make_cities(DemoOptions(), catalogue, None, start).opening()[1] for start in starts
    )
    ids = [{request.request_id for request in requests} for requests in (one, other)]
    assert len(one) == len(other)
    assert not ids[0] & ids[1]


def test_cities_after_a_machine_slept_leave_the_time_out(catalogue: Catalogue):
    cities = make_cities(DemoOptions(), catalogue, None, START_MS)
    assert list(cities.step(START_MS + 600_000, {})) == []
    assert list(cities.step(START_MS + 610_000, {}))


def test_cities_show_the_time_of_day_asked_for(catalogue: Catalogue):
    assert make_cities(DemoOptions(at="06:30"), catalogue, None, START_MS).time == "Wed 06:30"


def test_cities_replay_trips_where_their_zones_are(catalogue: Catalogue, tmp_path: Path):
    path = _file(tmp_path, TRIP)
    options = DemoOptions(trips=path, scale=50, at="12:00")
    cities = make_cities(options, catalogue, read_trips_file(path, None), START_MS)
    assert [city.zone_ids[0] for city in cities.all] == ["z0-0"]
    assert cities.note == ""
    list(cities.step(START_MS + 55_000, {}))
    for second in range(55_000, 1_300_000, 50_000):
        list(cities.step(START_MS + second, {}))
    assert cities.note.startswith("the trips file has come to its end")


def test_trips_file_that_is_not_there_is_refused(tmp_path: Path):
    with pytest.raises(TripsError, match=r"nowhere\.csv: No such file"):
        read_trips_file(tmp_path / "nowhere.csv", None)


def test_trips_file_without_the_day_is_refused(tmp_path: Path):
    with pytest.raises(TripsError, match=r"^trips\.csv, column pickup: day=2019-03-05 is outside"):
        read_trips_file(_file(tmp_path, TRIP), date(2019, 3, 5))
