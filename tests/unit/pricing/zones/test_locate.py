from __future__ import annotations

import math
from dataclasses import replace

import h3.api.basic_int as h3
import pytest

from pricing.model import Zone
from pricing.zones import Catalogue, ZoneLocator, load_catalogue

ZONE = Zone(
    zone_id="1",
    name="Somewhere",
    city_id="a",
    zone_class="core",
    base_fare_minor=900,
    currency="USD",
    lat=0.0,
    lon=0.0,
    area_km2=3.0,
    min_multiplier_micro=1_000_000,
    max_multiplier_micro=3_000_000,
)


@pytest.fixture(scope="module")
def new_york() -> ZoneLocator:
    return ZoneLocator(load_catalogue(None))


def _locator(*zones: Zone) -> ZoneLocator:
    return ZoneLocator(Catalogue(zones))


def _id_at(locator: ZoneLocator, lat: float, lon: float) -> str | None:
    zone = locator.locate(lat, lon)
    return None if zone is None else zone.zone_id


@pytest.mark.parametrize(
    ("lat", "lon", "zone_id", "zone_class"),
    [
        (40.6413, -73.7781, "132", "airport"),  # JFK
        (40.7769, -73.8740, "138", "airport"),  # LaGuardia
        (40.6895, -74.1745, "1", "airport"),  # Newark
        (40.7580, -73.9855, "230", "core"),  # Times Square
        (40.7829, -73.9654, "43", "core"),  # Central Park
    ],
)
def test_locate_known_place(
    new_york: ZoneLocator, lat: float, lon: float, zone_id: str, zone_class: str
):
    zone = new_york.locate(lat, lon)
    assert zone is not None
    assert (zone.zone_id, zone.zone_class) == (zone_id, zone_class)


@pytest.mark.parametrize(
    ("lat", "lon"),
    [(30, -40), (90, 0), (-90, 0), (0, 180), (0, -180), (51.5, -0.1), (-40.758, 73.9855)],
)
def test_locate_far_away_is_none(new_york: ZoneLocator, lat: float, lon: float):
    assert new_york.locate(lat, lon) is None


@pytest.mark.parametrize(
    ("lat", "lon"),
    [(math.nan, 0), (0, math.nan), (math.inf, 0), (0, -math.inf), (90.1, 0), (0, 180.1)],
)
def test_locate_no_place_on_earth_is_none(new_york: ZoneLocator, lat: float, lon: float):
    assert new_york.locate(lat, lon) is None


def test_every_zone_of_new_york_has_cells(new_york: ZoneLocator):
    zones = load_catalogue(None).zones
    assert [zone.zone_id for zone in zones if not new_york.cells(zone.zone_id)] == []


def test_eight_new_york_centroids_lie_elsewhere(new_york: ZoneLocator):
    zones = load_catalogue(None).zones
    strays = [zone.zone_id for zone in zones if new_york.locate(zone.lat, zone.lon) != zone]
    assert strays == ["30", "77", "102", "106", "153", "222", "230", "236"]


def test_cells_part_the_table_among_the_zones(new_york: ZoneLocator):
    owned = [cell for zone in load_catalogue(None).zones for cell in new_york.cells(zone.zone_id)]
    assert len(owned) == len(set(owned)) == 9654
    for zone in load_catalogue(None).zones:
        cells = new_york.cells(zone.zone_id)
        assert list(cells) == sorted(cells)
        assert {new_york.owner(cell) for cell in cells} == {zone}


def test_cells_of_unknown_zone_are_none(new_york: ZoneLocator):
    assert new_york.cells("nowhere") == ()
    assert new_york.bordering("nowhere") == ()


def test_bordering_in_new_york_leaves_only_newark_alone(new_york: ZoneLocator):
    zones = load_catalogue(None).zones
    borders = {zone.zone_id: new_york.bordering(zone.zone_id) for zone in zones}
    assert [zone_id for zone_id, near in borders.items() if not near] == ["1"]
    for zone_id, near in borders.items():
        assert zone_id not in [zone.zone_id for zone in near]
        assert all(zone_id in [back.zone_id for back in borders[zone.zone_id]] for zone in near)
    assert sum(min(6, len(near)) for near in borders.values()) / 260 == pytest.approx(
        4.86, abs=0.01
    )


@pytest.mark.parametrize(
    ("lat", "lon", "near"),
    [
        (90.0, 0.0, [(89.995, 90.0), (89.995, -90.0), (89.995, 180.0)]),
        (-90.0, 12.0, [(-89.995, 90.0), (-89.995, -90.0)]),
        (-17.0, 180.0, [(-17.0, 179.995), (-17.0, -179.995), (-17.0, -180.0)]),
    ],
)
def test_locate_across_pole_and_antimeridian(
    lat: float, lon: float, near: list[tuple[float, float]]
):
    locator = _locator(replace(ZONE, lat=lat, lon=lon))
    assert {_id_at(locator, *place) for place in near} == {"1"}


def test_zone_around_a_pentagon_has_all_cells():
    pentagon = next(iter(h3.get_pentagons(9)))
    lat, lon = h3.cell_to_latlng(pentagon)
    locator = _locator(replace(ZONE, lat=lat, lon=lon, area_km2=1.0))
    assert set(h3.grid_disk(pentagon, 2)) <= set(locator.cells("1"))


def test_locate_equally_near_zones_give_the_smaller_id():
    locator = _locator(replace(ZONE, zone_id="10"), replace(ZONE, zone_id="9"))
    assert _id_at(locator, 0.0, 0.0) == "9"
    assert locator.cells("10") == ()


def test_locate_larger_zone_wins_beyond_the_middle():
    small = replace(ZONE, zone_id="s", area_km2=1.0, lon=-0.01)
    large = replace(ZONE, zone_id="l", area_km2=4.0, lon=0.01)
    assert _id_at(_locator(small, large), 0.0, -0.0008) == "l"


def test_locate_zones_of_several_cities_in_one_catalogue():
    here = replace(ZONE, zone_id="1", city_id="a")
    there = replace(ZONE, zone_id="2", city_id="b", lat=0.0, lon=0.015)
    far = replace(ZONE, zone_id="3", city_id="c", lat=50.0, lon=8.0)
    locator = _locator(here, there, far)
    assert [_id_at(locator, *place) for place in [(0, 0), (0, 0.015), (50, 8)]] == ["1", "2", "3"]
    assert locator.bordering("1") == (there,)


def _parent_with_free_child(locator: ZoneLocator, zone_id: str) -> tuple[int, int]:
    """A parent that the zone holds four or more cells of, and a child of it that nobody owns."""
    for cell in locator.cells(zone_id):
        children = h3.cell_to_children(h3.cell_to_parent(cell, 8), 9)
        free = [child for child in children if locator.owner(child) is None]
        if free and len(free) <= 3:
            return h3.cell_to_parent(cell, 8), free[0]
    pytest.fail("no parent is partly owned")


def test_locate_free_cell_takes_its_parents_zone():
    locator = _locator(ZONE)
    _, free = _parent_with_free_child(locator, "1")
    assert free not in locator.cells("1")
    assert _id_at(locator, *h3.cell_to_latlng(free)) == "1"


def test_locate_cell_beyond_the_parents_is_none():
    locator = _locator(ZONE)
    parents = {h3.cell_to_parent(cell, 8) for cell in locator.cells("1")}
    outside = [
        cell
        for cell in h3.grid_disk(h3.latlng_to_cell(0.0, 0.0, 9), 20)
        if h3.cell_to_parent(cell, 8) not in parents
    ]
    assert outside
    assert {_id_at(locator, *h3.cell_to_latlng(cell)) for cell in outside} == {None}


def test_zone_too_small_for_cells_is_unfound():
    lat, lon = h3.cell_to_boundary(h3.latlng_to_cell(0.0, 0.0, 9))[0]
    tiny = replace(ZONE, lat=lat, lon=lon, area_km2=0.0001)
    locator = _locator(tiny)
    assert locator.cells("1") == ()
    assert locator.locate(lat, lon) is None
