"""Reads and writes the zones file: CSV in UTF-8, one zone a line.

Reading is strict, because a zones file is edited by hand and a wrong fare is charged to
riders: every fault is a `CatalogueError` that names the line and the bad value. Fares and
multipliers go from text to integers through `Decimal`, never through a float.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from pricing.errors import CatalogueError
from pricing.model import MICRO, Zone, currency_exponent

COLUMNS: Final = (
    "zone_id",
    "name",
    "city_id",
    "zone_class",
    "base_fare",
    "currency",
    "lat",
    "lon",
    "area_km2",
    "min_multiplier",
    "max_multiplier",
)
"""Every column, in the order in which they are written; a file may order them otherwise."""

MAX_ZONES: Final = 100_000
MAX_ID_CHARS: Final = 64
MAX_NAME_CHARS: Final = 200
MAX_AREA_KM2: Final = 10_000
"""Twelve times New York City: more is square metres, or a country taken for a zone."""
MAX_FARE_MINOR: Final = 1_000_000_000
"""Keeps fare times multiplier, in millionths, far below 2**63 for every other language."""
LATTICE_MICRO: Final = 50_000
"""Multipliers are multiples of 0.05."""
LEAST_MULTIPLIER_MICRO: Final = 500_000
GREATEST_MULTIPLIER_MICRO: Final = 10 * MICRO

_ID = re.compile(r"[A-Za-z0-9._:-]+")
_CURRENCY = re.compile(r"[A-Z]{3}")
_DECIMAL = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
# Decimal's default context keeps 28 digits; 20 characters leave room to scale by 10**6 exactly.
_MAX_EXACT_CHARS = 20
# Keys of the price-overrides topic are zone ids beside "city:ID" and "class:CITY/CLASS".
_RESERVED_PREFIXES = ("city:", "class:")
_SHOWN_CHARS = 80


def parse_zones(data: bytes, source: str) -> tuple[Zone, ...]:
    """Read every zone, in the order of the file. A byte order mark and CRLF are tolerated.

    `source` is the name that errors show.

    Raises:
        CatalogueError: at the first fault. A fault of the whole file has line 0.
    """
    zones: list[Zone] = []
    ids: set[str] = set()
    currencies: dict[str, str] = {}
    for line, row in _rows(_decoded(data, source), source):
        try:
            zone = _zone(row)
            _check_against_earlier(zone, ids, currencies)
        except ValueError as fault:
            raise CatalogueError(source, line, str(fault)) from None
        ids.add(zone.zone_id)
        currencies.setdefault(zone.city_id, zone.currency)
        zones.append(zone)
    if not zones:
        raise CatalogueError(source, 0, "no zones")
    return tuple(zones)


def serialise_zones(zones: Iterable[Zone]) -> str:
    """Write zones in the form that `parse_zones` reads back into equal zones."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(zone) for zone in zones)
    return text.getvalue()


def parse_minor(text: str, exponent: int, name: str) -> int:
    """Read an amount of money in a currency with `exponent` decimals, as minor units.

    Raises:
        ValueError: the text is no plain decimal, or has more decimals than the currency.
    """
    amount = _exact(text, name)
    _, _, decimals = text.partition(".")
    if len(decimals) > exponent:
        raise ValueError(f"{name} {_shown(text)} has more than {exponent} decimals")
    return int(amount.scaleb(exponent))


def _decoded(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        # `fault.object` and `fault.start` count without the byte order mark.
        line = fault.object.count(b"\n", 0, fault.start) + 1
        bad = fault.object[fault.start]
        raise CatalogueError(source, line, f"not UTF-8: byte 0x{bad:02x}") from None


def _rows(text: str, source: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with the line on which it starts; blank lines are passed over."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    count = 0
    line = 1
    try:
        for fields in reader:
            if header is None:
                header = _checked_header(fields)
            elif fields:
                count += 1
                yield line, _row(header, fields, count)
            line = reader.line_num + 1
    except (ValueError, csv.Error) as fault:
        raise CatalogueError(source, line, str(fault)) from None


def _checked_header(fields: list[str]) -> list[str]:
    missing = [name for name in COLUMNS if name not in fields]
    if missing:
        raise ValueError(f"missing column {_shown(missing[0])}")
    for index, name in enumerate(fields):
        if name not in COLUMNS:
            raise ValueError(f"unknown column {_shown(name)}")
        if name in fields[:index]:
            raise ValueError(f"column {_shown(name)} twice")
    return fields


def _row(header: list[str], fields: list[str], count: int) -> dict[str, str]:
    if count > MAX_ZONES:
        raise ValueError(f"more than {MAX_ZONES} zones")
    if len(fields) != len(header):
        raise ValueError(f"{len(fields)} fields where the header has {len(header)}")
    return dict(zip(header, fields, strict=True))


def _zone(row: dict[str, str]) -> Zone:
    currency = row["currency"]
    if not _CURRENCY.fullmatch(currency):
        raise ValueError(f"currency {_shown(currency)} is not three capital letters")
    least = _multiplier_micro(row, "min_multiplier")
    greatest = _multiplier_micro(row, "max_multiplier")
    if least > greatest:
        raise ValueError(
            f"min_multiplier {_shown(row['min_multiplier'])} is above"
            f" max_multiplier {_shown(row['max_multiplier'])}"
        )
    return Zone(
        zone_id=_zone_id(row),
        name=_name(row["name"]),
        city_id=_identifier(row, "city_id"),
        zone_class=_identifier(row, "zone_class"),
        base_fare_minor=_fare_minor(row["base_fare"], currency),
        currency=currency,
        lat=_coordinate(row, "lat", 90),
        lon=_coordinate(row, "lon", 180),
        area_km2=_area_km2(row["area_km2"]),
        min_multiplier_micro=least,
        max_multiplier_micro=greatest,
    )


def _check_against_earlier(zone: Zone, ids: set[str], currencies: dict[str, str]) -> None:
    if zone.zone_id in ids:
        raise ValueError(f"duplicate zone_id {_shown(zone.zone_id)}")
    other = currencies.get(zone.city_id, zone.currency)
    if zone.currency != other:
        raise ValueError(
            f"city_id {_shown(zone.city_id)} has currency {_shown(zone.currency)},"
            f" on an earlier line {_shown(other)}"
        )


def _zone_id(row: dict[str, str]) -> str:
    zone_id = _identifier(row, "zone_id")
    if zone_id.startswith(_RESERVED_PREFIXES):
        raise ValueError(f"zone_id {_shown(zone_id)} starts with a reserved word")
    return zone_id


def _identifier(row: dict[str, str], name: str) -> str:
    text = row[name]
    if len(text) > MAX_ID_CHARS:
        raise ValueError(f"{name} {_shown(text)} is longer than {MAX_ID_CHARS} characters")
    if not _ID.fullmatch(text):
        raise ValueError(f"{name} {_shown(text)} is not made of letters, digits and . _ : -")
    return text


def _name(text: str) -> str:
    if not text.strip():
        raise ValueError(f"name {_shown(text)} is empty")
    if len(text) > MAX_NAME_CHARS:
        raise ValueError(f"name {_shown(text)} is longer than {MAX_NAME_CHARS} characters")
    if not text.isprintable():
        raise ValueError(f"name {_shown(text)} has an unprintable character")
    return text


def _fare_minor(text: str, currency: str) -> int:
    fare = parse_minor(text, currency_exponent(currency), f"base_fare in {currency}")
    if not 0 < fare <= MAX_FARE_MINOR:
        raise ValueError(
            f"base_fare {_shown(text)} is not above 0 and at most {MAX_FARE_MINOR} minor units"
        )
    return fare


def _multiplier_micro(row: dict[str, str], name: str) -> int:
    text = row[name]
    micro = _exact(text, name) * MICRO
    if not LEAST_MULTIPLIER_MICRO <= micro <= GREATEST_MULTIPLIER_MICRO:
        raise ValueError(f"{name} {_shown(text)} is outside 0.5 to 10")
    if micro % LATTICE_MICRO:
        raise ValueError(f"{name} {_shown(text)} is no multiple of 0.05")
    return int(micro)


def _coordinate(row: dict[str, str], name: str, bound: int) -> float:
    degrees = _decimal(row[name], name)
    if abs(degrees) > bound:
        raise ValueError(f"{name} {_shown(row[name])} is outside -{bound} to {bound}")
    return float(degrees)


def _area_km2(text: str) -> float:
    area = float(_decimal(text, "area_km2"))
    if not 0 < area <= MAX_AREA_KM2:
        raise ValueError(f"area_km2 {_shown(text)} is not above 0 and at most {MAX_AREA_KM2}")
    return area


def _exact(text: str, name: str) -> Decimal:
    if len(text) > _MAX_EXACT_CHARS:
        raise ValueError(f"{name} {_shown(text)} is longer than {_MAX_EXACT_CHARS} characters")
    return _decimal(text, name)


def _decimal(text: str, name: str) -> Decimal:
    # `Decimal` itself would also take nan, inf, exponents, underscores and other scripts' digits.
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{name} {_shown(text)} is no finite plain decimal number")
    return Decimal(text)


def _cells(zone: Zone) -> list[str]:
    return [
        zone.zone_id,
        zone.name,
        zone.city_id,
        zone.zone_class,
        _scaled_text(zone.base_fare_minor, currency_exponent(zone.currency)),
        zone.currency,
        _float_text(zone.lat),
        _float_text(zone.lon),
        _float_text(zone.area_km2),
        _multiplier_text(zone.min_multiplier_micro),
        _multiplier_text(zone.max_multiplier_micro),
    ]


def _scaled_text(amount: int, exponent: int) -> str:
    return format(Decimal(amount).scaleb(-exponent), "f")


def _multiplier_text(micro: int) -> str:
    return format(Decimal(micro).scaleb(-6).normalize(), "f")


def _float_text(value: float) -> str:
    """The shortest plain decimal that reads back as the same float."""
    return format(Decimal(repr(value)), "f")


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…")
