"""The zones file: what is read, what is refused, and that each refusal names line and value."""

from __future__ import annotations

import pytest

from pricing.errors import CatalogueError
from pricing.model import Zone
from pricing.zones import load_catalogue
from pricing.zones.zone_file import COLUMNS, MAX_ZONES, parse_zones, serialise_zones

GOOD = {
    "zone_id": "1",
    "name": "Old Town",
    "city_id": "a",
    "zone_class": "core",
    "base_fare": "12.50",
    "currency": "USD",
    "lat": "40.5",
    "lon": "-74",
    "area_km2": "2.25",
    "min_multiplier": "1",
    "max_multiplier": "2.55",
}
HEADER = ",".join(COLUMNS)


def _line(**changes: str) -> str:
    return ",".join((GOOD | changes)[name] for name in COLUMNS)


def _refusal(data: str | bytes) -> CatalogueError:
    with pytest.raises(CatalogueError) as caught:
        parse_zones(data if isinstance(data, bytes) else data.encode(), "z.csv")
    return caught.value


def test_parse_zones_reads_every_column_exactly():
    assert parse_zones(f"{HEADER}\n{_line()}\n".encode(), "z.csv") == (
        Zone(
            zone_id="1",
            name="Old Town",
            city_id="a",
            zone_class="core",
            base_fare_minor=1250,
            currency="USD",
            lat=40.5,
            lon=-74.0,
            area_km2=2.25,
            min_multiplier_micro=1_000_000,
            max_multiplier_micro=2_550_000,
        ),
    )


@pytest.mark.parametrize(
    ("currency", "text", "minor"),
    [("USD", "0.29", 29), ("USD", "7", 700), ("JPY", "900", 900), ("KWD", "1.005", 1005)],
)
def test_parse_zones_fare_has_the_currencys_decimals(currency: str, text: str, minor: int):
    data = f"{HEADER}\n{_line(currency=currency, base_fare=text)}\n".encode()
    assert parse_zones(data, "z.csv")[0].base_fare_minor == minor


@pytest.mark.parametrize("form", ["bom", "crlf", "no end of line", "blank lines", "reordered"])
def test_parse_zones_tolerates_harmless_forms(form: str):
    plain = f"{HEADER}\n{_line()}\n"
    mirrored = "".join(",".join(reversed(row.split(","))) + "\n" for row in plain.splitlines())
    forms = {
        "bom": "\ufeff" + plain,
        "crlf": plain.replace("\n", "\r\n"),
        "no end of line": plain.rstrip(),
        "blank lines": plain.replace("\n", "\n\n"),
        "reordered": mirrored,
    }
    assert parse_zones(forms[form].encode(), "z.csv") == parse_zones(plain.encode(), "z.csv")


BAD_VALUES = [
    ({"zone_id": ""}, "zone_id ''"),
    ({"zone_id": "x" * 65}, "zone_id '" + "x" * 65),
    ({"zone_id": "a b"}, "zone_id 'a b'"),
    ({"zone_id": "ä"}, "zone_id 'ä'"),
    ({"zone_id": "city:a"}, "zone_id 'city:a' starts with a reserved word"),
    ({"zone_id": "1\n"}, None),
    ({"zone_id": "7"}, "duplicate zone_id '7'"),
    ({"name": ""}, "name ''"),
    ({"name": "  "}, "name '  '"),
    ({"name": "a\x00b"}, "name 'a\\x00b' has an unprintable"),
    ({"name": '"a\nb"'}, "name 'a\\nb' has an unprintable"),
    ({"name": "n" * 201}, "longer than 200"),
    ({"city_id": "new york"}, "city_id 'new york'"),
    ({"zone_class": ""}, "zone_class ''"),
    ({"zone_class": "core/inner"}, "zone_class 'core/inner'"),
    ({"currency": "usd"}, "currency 'usd'"),
    ({"currency": "US"}, "currency 'US'"),
    ({"currency": "EUR"}, "city_id 'a' has currency 'EUR', on an earlier line 'USD'"),
    ({"base_fare": "0"}, "base_fare '0'"),
    ({"base_fare": "-1"}, "base_fare '-1'"),
    ({"base_fare": "12.505"}, "base_fare in USD '12.505' has more than 2 decimals"),
    ({"base_fare": "10000000.01"}, "base_fare '10000000.01'"),
    ({"base_fare": "1e3"}, "'1e3'"),
    ({"base_fare": "1_000"}, "'1_000'"),
    ({"base_fare": "nan"}, "'nan' is no finite"),
    ({"base_fare": "٣"}, "'٣'"),
    ({"base_fare": "9" * 21}, "longer than 20"),
    ({"base_fare": ""}, "''"),
    ({"lat": "90.1"}, "lat '90.1' is outside -90 to 90"),
    ({"lat": "nan"}, "lat 'nan'"),
    ({"lon": "-180.5"}, "lon '-180.5'"),
    ({"lon": "inf"}, "lon 'inf'"),
    ({"area_km2": "0"}, "area_km2 '0'"),
    ({"area_km2": "-3"}, "area_km2 '-3'"),
    ({"area_km2": "10000.1"}, "area_km2 '10000.1'"),
    ({"area_km2": "9" * 400}, "area_km2 '999"),
    ({"area_km2": "inf"}, "area_km2 'inf'"),
    ({"min_multiplier": "0.45"}, "min_multiplier '0.45' is outside"),
    ({"max_multiplier": "10.05"}, "max_multiplier '10.05' is outside"),
    ({"max_multiplier": "1.01"}, "max_multiplier '1.01' is no multiple of 0.05"),
    ({"max_multiplier": "1.05000001"}, "max_multiplier '1.05000001' is no multiple"),
    ({"min_multiplier": "3"}, "min_multiplier '3' is above max_multiplier '2.55'"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_VALUES)
def test_parse_zones_refuses_bad_value_with_line(changes: dict[str, str], message: str | None):
    error = _refusal(f"{HEADER}\n{_line(zone_id='7')}\n{_line(**changes)}\n")
    assert (error.source, error.line) == ("z.csv", 3)
    assert str(error).startswith("z.csv, line 3: ")
    if message is not None:
        assert message in error.reason


@pytest.mark.parametrize("name", COLUMNS)
def test_parse_zones_missing_column_is_refused(name: str):
    error = _refusal(",".join(column for column in COLUMNS if column != name) + "\n")
    assert (error.line, error.reason) == (1, f"missing column {name!r}")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (f"{HEADER},borough", "unknown column 'borough'"),
        (f"{HEADER},lat", "column 'lat' twice"),
        (HEADER.replace("lat", "Lat"), "missing column 'lat'"),
    ],
)
def test_parse_zones_wrong_header_is_refused(header: str, reason: str):
    error = _refusal(f"{header}\n{_line()}\n")
    assert (error.line, error.reason) == (1, reason)


@pytest.mark.parametrize("line", [_line() + ",", _line().rpartition(",")[0], "1"])
def test_parse_zones_wrong_number_of_fields_is_refused(line: str):
    error = _refusal(f"{HEADER}\n{line}\n")
    assert error.line == 2
    assert "fields where the header has 11" in error.reason


@pytest.mark.parametrize("text", ["", "\ufeff", HEADER, HEADER + "\r\n\r\n"])
def test_parse_zones_without_zones_is_refused(text: str):
    error = _refusal(text)
    assert (error.line, str(error)) == (0, "z.csv: no zones")


def test_parse_zones_refuses_non_utf8_with_line():
    text = f"\ufeff{HEADER}\r\n{_line()}\r\n{_line(zone_id='2')}".encode()
    error = _refusal(text.replace(b"2,Old", b"2,\xffld"))
    assert (error.line, error.reason) == (3, "not UTF-8: byte 0xff")


@pytest.mark.parametrize("name", ['"open', '"a"b'])
def test_parse_zones_broken_quotes_are_refused(name: str):
    assert _refusal(f"{HEADER}\n{_line(name=name)}\n").line == 2


def test_parse_zones_line_counts_breaks_within_fields():
    head = f"zone_id,{HEADER.removeprefix('zone_id,')}"
    error = _refusal(
        f"{head}\n\n\n{_line()}\n{_line(zone_id='2', name=chr(34) + 'x' + chr(34))},\n"
    )
    assert error.line == 5


def test_parse_zones_too_many_zones_are_refused():
    rest = _line().partition(",")[2]
    lines = [HEADER, *(f"{number},{rest}" for number in range(MAX_ZONES))]
    assert len(parse_zones("\n".join(lines).encode(), "z.csv")) == MAX_ZONES
    lines.append(f"last,{rest}")
    error = _refusal("\n".join(lines))
    assert (error.line, error.reason) == (MAX_ZONES + 2, "more than 100000 zones")


def test_serialise_zones_gives_the_shipped_file_back():
    zones = load_catalogue(None).zones
    assert parse_zones(serialise_zones(zones).encode(), "again") == zones
