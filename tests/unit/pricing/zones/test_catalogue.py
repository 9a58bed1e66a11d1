from __future__ import annotations

import random
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from pricing.errors import CatalogueError
from pricing.model import Zone
from pricing.zones import Catalogue, load_catalogue
from pricing.zones.catalogue import natural_key

ZONE = Zone(
    zone_id="1",
    name="Old Town",
    city_id="a",
    zone_class="core",
    base_fare_minor=900,
    currency="USD",
    lat=1.0,
    lon=2.0,
    area_km2=3.0,
    min_multiplier_micro=1_000_000,
    max_multiplier_micro=3_000_000,
)


def _catalogue(*ids: str, city_id: str = "a") -> Catalogue:
    return Catalogue(tuple(replace(ZONE, zone_id=zone_id, city_id=city_id) for zone_id in ids))


def test_catalogue_orders_numbers_as_numbers():
    assert [zone.zone_id for zone in _catalogue("10", "9", "a-10", "a-9", "100").zones] == [
        "9",
        "10",
        "100",
        "a-9",
        "a-10",
    ]


def test_natural_key_orders_any_shuffle_alike():
    ids = ["1", "01", "1a", "1.5", "1.10", "a", "A", "a1b2", "a1b10", "-", "2"]
    once = sorted(ids, key=natural_key)
    for seed in range(20):
        shuffled = random.Random(seed).sample(ids, len(ids))
        assert sorted(shuffled, key=natural_key) == once


def test_catalogue_zone_of_unknown_id_is_none():
    catalogue = _catalogue("1", "2")
    assert catalogue.zone("2") is catalogue.zones[1]
    assert catalogue.zone("3") is None


def test_catalogue_keeps_cities_apart():
    zones = (*_catalogue("2", "1", city_id="b10").zones, *_catalogue("3", city_id="b9").zones)
    catalogue = Catalogue(zones)
    assert catalogue.city_ids == ("b9", "b10")
    assert [zone.zone_id for zone in catalogue.zones_of("b10")] == ["1", "2"]
    assert catalogue.zones_of("c") == ()


def test_catalogue_refuses_two_zones_of_one_id():
    with pytest.raises(CatalogueError, match="duplicate zone_id '1'"):
        Catalogue((ZONE, replace(ZONE, name="Other")))


def test_catalogue_is_frozen_and_equal_by_zones():
    catalogue = _catalogue("1", "2")
    assert catalogue == _catalogue("2", "1")
    with pytest.raises(FrozenInstanceError):
        catalogue.zones = ()  # type: ignore[misc] # the refusal is what is tested


def test_load_catalogue_without_path_is_new_york():
    catalogue = load_catalogue(None)
    assert catalogue.city_ids == ("nyc",)
    assert len(catalogue.zones) == 260
    times_square = catalogue.zone("230")
    assert times_square is not None
    assert times_square.name == "Times Sq/Theatre District"
    assert (times_square.base_fare_minor, times_square.currency) == (1000, "USD")
    assert times_square.max_multiplier_micro == 3_000_000


def test_load_catalogue_names_the_file_at_fault(tmp_path: Path):
    path = tmp_path / "zones.csv"
    path.write_text("zone_id\n")
    with pytest.raises(CatalogueError, match="missing column 'name'") as caught:
        load_catalogue(path)
    assert (caught.value.source, caught.value.line) == (str(path), 1)


def test_load_catalogue_without_the_file_says_so(tmp_path: Path):
    with pytest.raises(CatalogueError, match="cannot be read: No such file"):
        load_catalogue(tmp_path / "absent.csv")
