"""The table of cells against the formula itself, worked out for every zone with H3's distance."""

from __future__ import annotations

import math
from collections import Counter

import h3.api.basic_int as h3
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pricing.model import Zone
from pricing.zones import Catalogue, ZoneLocator, load_catalogue
from pricing.zones.catalogue import natural_key

NEW_YORK = load_catalogue(None)
LOCATOR = ZoneLocator(NEW_YORK)
# Two ways to work out one distance differ by rounding: km², and km.
ROUNDING = 1e-7


def _powers(catalogue: Catalogue, cell: int) -> dict[str, float]:
    """d² - area/π of each zone within 1.6 R of the cell; empty on the rounding of a border."""
    centre = h3.cell_to_latlng(cell)
    powers = {}
    for zone in catalogue.zones:
        distance = h3.great_circle_distance(centre, (zone.lat, zone.lon), unit="km")
        radius = math.sqrt(zone.area_km2 / math.pi)
        assume(abs(distance - 1.6 * radius) > ROUNDING)
        if distance <= 1.6 * radius:
            powers[zone.zone_id] = distance**2 - zone.area_km2 / math.pi
    return powers


def _assert_owner(catalogue: Catalogue, locator: ZoneLocator, cell: int) -> None:
    owner = locator.owner(cell)
    powers = _powers(catalogue, cell)
    if owner is None:
        assert powers == {}
        return
    assert powers[owner.zone_id] <= min(powers.values()) + ROUNDING
    assert cell in locator.cells(owner.zone_id)


places_in_new_york = st.tuples(st.floats(40.48, 40.93), st.floats(-74.30, -73.68))


@given(places_in_new_york)
def test_new_york_cell_belongs_to_formula_zone(place: tuple[float, float]):
    _assert_owner(NEW_YORK, LOCATOR, h3.latlng_to_cell(*place, 9))


@given(places_in_new_york)
def test_place_takes_owner_else_majority_of_parent(place: tuple[float, float]):
    cell = h3.latlng_to_cell(*place, 9)
    expected = LOCATOR.owner(cell)
    if expected is None:
        children = h3.cell_to_children(h3.cell_to_parent(cell, 8), 9)
        votes = Counter(zone.zone_id for child in children if (zone := LOCATOR.owner(child)))
        best = sorted(votes, key=lambda zone_id: (-votes[zone_id], natural_key(zone_id)))
        expected = NEW_YORK.zone(best[0]) if best else None
    assert LOCATOR.locate(*place) == expected


@st.composite
def _small_catalogues(draw: st.DrawFn) -> Catalogue:
    """A few zones near each other, anywhere on Earth: poles and antimeridian included."""
    lat = draw(st.one_of(st.sampled_from([-90.0, 0.0, 90.0]), st.floats(-90, 90)))
    lon = draw(st.one_of(st.sampled_from([-180.0, 0.0, 180.0]), st.floats(-180, 180)))
    offset = st.floats(-0.02, 0.02)
    zones = []
    for index in range(draw(st.integers(1, 5))):
        wide = (lon + draw(offset) + 180) % 360 - 180
        zones.append(
            Zone(
                zone_id=str(index),
                name="x",
                city_id=draw(st.sampled_from("ab")),
                zone_class="core",
                base_fare_minor=1,
                currency="USD",
                lat=max(-90.0, min(90.0, lat + draw(offset))),
                lon=wide,
                area_km2=draw(st.floats(0.0001, 6)),
                min_multiplier_micro=1_000_000,
                max_multiplier_micro=1_000_000,
            )
        )
    return Catalogue(tuple(zones))


@settings(max_examples=60, deadline=None)
@given(_small_catalogues(), st.data())
def test_cell_anywhere_belongs_to_the_formulas_zone(catalogue: Catalogue, data: st.DataObject):
    locator = ZoneLocator(catalogue)
    zone = data.draw(st.sampled_from(catalogue.zones))
    for cell in h3.grid_disk(h3.latlng_to_cell(zone.lat, zone.lon, 9), 12):
        _assert_owner(catalogue, locator, cell)
