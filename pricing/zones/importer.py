"""Makes the shipped zones file from New York's open data.

    python -m pricing.zones.importer ZONES.csv TRIPS.csv > nyc.csv

A zone's base fare is the median fare of the trips that started there. Where a zone has
too few, its borough's median stands in, and where that has too few, a flat fare. On trips
kept apart, this missed the fare by 5.47 USD in the mean; boroughs alone missed it by 6.15,
the flat fare by 7.05.
"""

from __future__ import annotations

import csv
import io
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from pricing.errors import CatalogueError
from pricing.model import half_up
from pricing.zones.catalogue import Catalogue
from pricing.zones.zone_file import COLUMNS, parse_minor, parse_zones, serialise_zones

CITY_ID = "nyc"
CURRENCY = "USD"
DEFAULT_FARE_MINOR = 1250
MIN_TRIPS_ZONE = 8
MIN_TRIPS_BOROUGH = 30

# Manhattan south of 96th Street.
_CORE = frozenset(
    (  # noqa: SIM905 - as a list, the formatter gives each number a line
        "4 12 13 43 45 48 50 68 75 79 87 88 90 100 107 113 114 125 137 140 141 142 143 144 148 "
        "158 161 162 163 164 170 186 202 209 211 224 229 230 231 232 233 234 236 237 238 239 "
        "246 249 261 262 263"
    ).split()
)
_AIRPORTS = frozenset(["1", "132", "138"])
_MAX_MULTIPLIER = {"core": "3", "airport": "2", "outer": "2.5"}
_ZONE_COLUMNS = ("zone_id", "zone_name", "borough", "lat", "lon", "area_km2")
_TRIP_COLUMNS = ("pickup_zone_id", "fare_usd")
_USAGE = "usage: python -m pricing.zones.importer ZONES.csv TRIPS.csv > nyc.csv\n"


def import_zones(zones_csv: str, trips_csv: str) -> str:
    """Turn the two source files' text into the text of a zones file.

    Trips from a zone that the zones file lacks are left out.

    Raises:
        CatalogueError: a column or a listed zone is missing, or a value is wrong.
    """
    zones = [row for _, row in _read(zones_csv, "zones", _ZONE_COLUMNS)]
    _check_lists({row["zone_id"] for row in zones})
    fares = _base_fares(
        {row["zone_id"]: row["borough"] for row in zones}, _fares_by_zone(trips_csv)
    )
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(_zone_row(row, fares[row["zone_id"]]) for row in zones)
    # Read back, so that what leaves here has passed the checks of what will load it.
    return serialise_zones(Catalogue(parse_zones(text.getvalue().encode(), "zones")).zones)


def median_minor(fares: Sequence[int]) -> int:
    """The median of at least one fare, half-up to the minor unit between two middle ones."""
    ordered = sorted(fares)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return half_up(ordered[middle - 1] + ordered[middle], 2)


def _base_fares(boroughs: Mapping[str, str], by_zone: Mapping[str, list[int]]) -> dict[str, int]:
    by_borough: dict[str, list[int]] = defaultdict(list)
    for zone_id, borough in boroughs.items():
        by_borough[borough].extend(by_zone.get(zone_id, ()))
    return {
        zone_id: _base_fare(by_zone.get(zone_id, []), by_borough[borough])
        for zone_id, borough in boroughs.items()
    }


def _base_fare(of_zone: list[int], of_borough: list[int]) -> int:
    if len(of_zone) >= MIN_TRIPS_ZONE:
        return median_minor(of_zone)
    if len(of_borough) >= MIN_TRIPS_BOROUGH:
        return median_minor(of_borough)
    return DEFAULT_FARE_MINOR


def _fares_by_zone(trips_csv: str) -> dict[str, list[int]]:
    fares: dict[str, list[int]] = defaultdict(list)
    for line, row in _read(trips_csv, "trips", _TRIP_COLUMNS):
        try:
            fare = parse_minor(row["fare_usd"], 2, "fare_usd")
        except ValueError as fault:
            raise CatalogueError("trips", line, str(fault)) from None
        fares[row["pickup_zone_id"]].append(fare)
    return fares


def _read(text: str, source: str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, restval="")
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise CatalogueError(source, 1, f"missing column {missing[0]!r}")
    return [(reader.line_num, row) for row in reader]


def _check_lists(zone_ids: set[str]) -> None:
    unknown = sorted((_CORE | _AIRPORTS) - zone_ids)
    if unknown:
        raise CatalogueError("zones", 0, f"zone {unknown[0]!r} of the class lists is missing")


def _zone_row(row: Mapping[str, str], fare_minor: int) -> dict[str, str]:
    zone_class = _zone_class(row["zone_id"])
    return {
        "zone_id": row["zone_id"],
        "name": row["zone_name"],
        "city_id": CITY_ID,
        "zone_class": zone_class,
        "base_fare": format(Decimal(fare_minor).scaleb(-2), "f"),
        "currency": CURRENCY,
        "lat": row["lat"],
        "lon": row["lon"],
        "area_km2": row["area_km2"],
        "min_multiplier": "1",
        "max_multiplier": _MAX_MULTIPLIER[zone_class],
    }


def _zone_class(zone_id: str) -> str:
    if zone_id in _CORE:
        return "core"
    return "airport" if zone_id in _AIRPORTS else "outer"


def main(arguments: Sequence[str]) -> int:
    """Write the zones file to standard output. Returns 0, 1 for bad input, 2 for wrong usage."""
    if len(arguments) != 2:
        sys.stderr.write(_USAGE)
        return 2
    try:
        zones_csv, trips_csv = (Path(name).read_text("utf-8-sig") for name in arguments)
        text = import_zones(zones_csv, trips_csv)
    except (CatalogueError, OSError, UnicodeDecodeError, csv.Error) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
