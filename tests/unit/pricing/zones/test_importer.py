from __future__ import annotations

import csv
import statistics
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest

from pricing.errors import CatalogueError
from pricing.zones import Catalogue, importer, load_catalogue
from pricing.zones.zone_file import parse_zones

_DATA = Path(__file__).parents[5] / "shared" / "data"
ZONES = _DATA / "nyc_zones.csv"
TRIPS = _DATA / "nyc_trips_2019-03.csv"

needs_sources = pytest.mark.skipif(
    not (ZONES.is_file() and TRIPS.is_file()),
    reason="the sources of nyc.csv are not beside this repository (../shared/data)",
)


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    return load_catalogue(None)


@needs_sources
def test_importer_makes_the_shipped_file(capsys: pytest.CaptureFixture[str]):
    assert importer.main([str(ZONES), str(TRIPS)]) == 0
    out = files("pricing.zones").joinpath("nyc.csv").read_text("utf-8")
    assert capsys.readouterr() == (out, "")


@needs_sources
def test_importer_takes_fare_from_nearest_sufficient_sample(shipped: Catalogue):
    with ZONES.open(newline="") as zones, TRIPS.open(newline="") as trips:
        borough = {row["zone_id"]: row["borough"] for row in csv.DictReader(zones)}
        fares = [(row["pickup_zone_id"], float(row["fare_usd"])) for row in csv.DictReader(trips)]
    counts: Counter[str] = Counter()
    for zone in shipped.zones:
        own = [fare for zone_id, fare in fares if zone_id == zone.zone_id]
        wide = [fare for zone_id, fare in fares if borough[zone_id] == borough[zone.zone_id]]
        sample = own if len(own) >= 8 else wide if len(wide) >= 30 else [12.50]
        counts["own" if sample is own else "borough" if sample is wide else "flat"] += 1
        assert abs(statistics.median(sample) * 100 - zone.base_fare_minor) <= 0.5 + 1e-6
    assert counts == {"own": 74, "borough": 165, "flat": 21}


@pytest.mark.parametrize(
    ("zone_id", "minor"),
    [
        ("237", 700),
        ("161", 900),
        ("230", 1000),
        ("138", 2950),
        ("132", 5200),
        ("12", 900),  # Manhattan's
        ("11", 1225),  # Brooklyn's
        ("3", 1600),  # the Bronx's
        ("2", 2200),  # Queens'
        ("5", 1250),  # Staten Island
        ("1", 1250),  # Newark
    ],
)
def test_shipped_base_fare(shipped: Catalogue, zone_id: str, minor: int):
    zone = shipped.zone(zone_id)
    assert zone is not None
    assert zone.base_fare_minor == minor


def test_shipped_classes_carry_their_bounds(shipped: Catalogue):
    kinds = Counter(
        (zone.zone_class, zone.min_multiplier_micro, zone.max_multiplier_micro)
        for zone in shipped.zones
    )
    assert kinds == {
        ("core", 1_000_000, 3_000_000): 51,
        ("airport", 1_000_000, 2_000_000): 3,
        ("outer", 1_000_000, 2_500_000): 206,
    }


def test_median_between_two_cents_rounds_up():
    assert importer.median_minor([1250, 1251]) == 1251
    assert importer.median_minor([3, 1, 2]) == 2
    assert importer.median_minor([4, 2]) == 3


@pytest.fixture
def sources(shipped: Catalogue) -> Callable[..., tuple[str, str]]:
    """Makes the two source texts for the shipped zones, all of one borough."""

    def make(*trips: tuple[str, str]) -> tuple[str, str]:
        zones = "".join(
            f'{zone.zone_id},"{zone.name}",B,{zone.lat},{zone.lon},{zone.area_km2}\n'
            for zone in shipped.zones
        )
        rides = "".join(f"{zone_id},{fare}\n" for zone_id, fare in trips)
        head = "zone_id,zone_name,borough,lat,lon,area_km2\n"
        return head + zones, "pickup_zone_id,fare_usd\n" + rides

    return make


@pytest.mark.parametrize(
    ("own", "others", "minor"),
    [(8, 0, 500), (7, 23, 900), (7, 22, 1250), (8, 100, 500), (0, 30, 900)],
)
def test_importer_falls_back_at_the_thresholds(sources, own: int, others: int, minor: int):
    trips = [("4", "5.0")] * own + [("12", "9.0")] * others + [("999", "1.0")] * 50
    zones = Catalogue(parse_zones(importer.import_zones(*sources(*trips)).encode(), "made"))
    zone = zones.zone("4")
    assert zone is not None
    assert zone.base_fare_minor == minor


def test_importer_bad_fare_names_the_line(sources):
    with pytest.raises(CatalogueError, match="trips, line 3: fare_usd 'free'"):
        importer.import_zones(*sources(("4", "5.0"), ("4", "free")))


def test_importer_without_a_listed_zone_refuses(sources):
    zones, trips = sources()
    kept = [line for line in zones.splitlines() if not line.startswith("132,")]
    with pytest.raises(CatalogueError, match="zone '132' of the class lists is missing"):
        importer.import_zones("\n".join(kept), trips)


def test_importer_without_a_column_refuses(sources):
    zones, trips = sources()
    with pytest.raises(CatalogueError, match="trips, line 1: missing column 'fare_usd'"):
        importer.import_zones(zones, trips.replace("fare_usd", "fare"))


def test_importer_wrong_usage_exits_2(capsys: pytest.CaptureFixture[str]):
    assert importer.main([]) == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_importer_absent_file_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert importer.main([str(tmp_path / "z.csv"), str(tmp_path / "t.csv")]) == 1
    assert "No such file" in capsys.readouterr().err
