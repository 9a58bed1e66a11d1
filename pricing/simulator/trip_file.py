"""Reads recorded trips: CSV with a header, one trip a line, local time without an offset.

Reading is strict about what a replay needs (when, from which zone, to which zone) and only
asks the other columns to be there, so that a file of another kind is refused at its first line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pricing.errors import TripsError

COLUMNS: Final = (
    "pickup",
    "dropoff",
    "pickup_zone_id",
    "dropoff_zone_id",
    "passengers",
    "distance_miles",
    "fare_usd",
    "total_usd",
    "color",
)
_SHOWN_CHARS: Final = 40
_MAX_ID_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Trip:
    """One recorded trip."""

    row: int
    """Counts from 1, the header not included."""
    pickup: datetime
    """Naive, in the city's local time."""
    dropoff: datetime | None
    """As `pickup`; None where the file has none."""
    pickup_zone_id: str
    dropoff_zone_id: str | None


def read_trips(lines: Iterable[str], source: str) -> list[Trip]:
    """Read every trip, ordered by pick-up. A byte order mark is tolerated.

    `source` is the name that errors show.

    Raises:
        TripsError: at the first fault, with its line (the header is line 1) and column.
    """
    reader = csv.reader(lines, strict=True)
    try:
        where = _positions(next(reader, []), source)
        trips: list[Trip] = []
        for fields in reader:
            if fields:
                trips.append(_trip(len(trips) + 1, reader.line_num, fields, where, source))
    except csv.Error as fault:
        raise TripsError(source, reader.line_num, None, str(fault)) from None
    except UnicodeDecodeError as fault:
        raise TripsError(source, reader.line_num + 1, None, f"not UTF-8: {fault.reason}") from None
    if not trips:
        raise TripsError(source, 0, None, "no trips")
    trips.sort(key=lambda trip: (trip.pickup, trip.row))
    return trips


def _positions(header: Sequence[str], source: str) -> dict[str, int]:
    names = [name.removeprefix("\ufeff").strip() for name in header]
    for column in COLUMNS:
        if column not in names:
            raise TripsError(source, 1, column, "the column is missing")
    return {column: names.index(column) for column in COLUMNS}


def _trip(row: int, line: int, fields: Sequence[str], where: dict[str, int], source: str) -> Trip:
    if len(fields) <= max(where.values()):
        raise TripsError(source, line, None, f"{len(fields)} fields, too few for the header")
    cells = {column: fields[position].strip() for column, position in where.items()}
    column = "pickup"
    try:
        pickup = _moment(cells[column])
        column = "dropoff"
        dropoff = _moment(cells[column]) if cells[column] else None
        column = "pickup_zone_id"
        pickup_zone_id = _zone_id(cells[column])
        column = "dropoff_zone_id"
        dropoff_zone_id = _zone_id(cells[column]) if cells[column] else None
    except ValueError as fault:
        raise TripsError(source, line, column, str(fault)) from None
    return Trip(row, pickup, dropoff, pickup_zone_id, dropoff_zone_id)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{_shown(text)} is not a time like 2019-03-01 00:03:29") from None
    if moment.tzinfo is not None:
        raise ValueError(f"{_shown(text)} has an offset; local time is expected")
    return moment


def _zone_id(text: str) -> str:
    if not text:
        raise ValueError("the zone is missing")
    if len(text) > _MAX_ID_CHARS:
        raise ValueError(f"{_shown(text)} is longer than {_MAX_ID_CHARS} characters")
    return text


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}...")
