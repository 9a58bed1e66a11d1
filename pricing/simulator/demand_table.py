"""Counts of recorded trips by hour, zone and destination: what a city's demand looks like.

The table for New York ships beside this file; `python -m pricing.simulator.fit` made it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from itertools import pairwise
from typing import Any, Final

from pricing.simulator.trip_file import Trip

WEEKDAY: Final = 0
WEEKEND: Final = 1
_DAY_TYPES: Final = ("weekday", "weekend")
_BAND_STARTS: Final = (6, 10, 16, 21, 30)
BANDS: Final = 4
"""Local hours 6-10, 10-16, 16-21 and 21-6."""
_LEAST_TRIP_S: Final = 60


def day_type(moment: datetime) -> int:
    """WEEKDAY or WEEKEND of a local time."""
    return WEEKEND if moment.weekday() >= 5 else WEEKDAY


def band(hour: int) -> int:
    """Which part of the day a local hour belongs to, 0 to `BANDS` - 1."""
    wrapped = hour if hour >= _BAND_STARTS[0] else hour + 24
    return next(
        index for index, (start, end) in enumerate(pairwise(_BAND_STARTS)) if start <= wrapped < end
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandTable:
    """Recorded trips, counted. Whole numbers only, so that a fit can be compared exactly."""

    city_id: str
    timezone: str
    """IANA name."""
    origin: str
    """Which records were counted."""
    days: tuple[int, int]
    """How many weekdays and weekend days the records span."""
    hours: tuple[tuple[int, ...], tuple[int, ...]]
    """Trips by hour of pick-up, weekdays and weekends."""
    pickups: Mapping[str, tuple[int, ...]]
    """Zone to trips by day type and band: four of weekdays, then four of weekends."""
    dropoffs: Mapping[str, Mapping[str, int]]
    """Zone of pick-up to zone of drop-off to trips."""


def count_trips(trips: Iterable[Trip], *, city_id: str, timezone: str, origin: str) -> DemandTable:
    """Count trips. A trip without a drop-off zone, or under a minute, counts as a pick-up only."""
    days: tuple[set[str], set[str]] = (set(), set())
    hours = ([0] * 24, [0] * 24)
    pickups: dict[str, list[int]] = {}
    dropoffs: dict[str, Counter[str]] = {}
    for trip in trips:
        kind, hour = day_type(trip.pickup), trip.pickup.hour
        days[kind].add(trip.pickup.date().isoformat())
        hours[kind][hour] += 1
        pickups.setdefault(trip.pickup_zone_id, [0] * (2 * BANDS))[kind * BANDS + band(hour)] += 1
        if trip.dropoff_zone_id is not None and is_a_ride(trip):
            dropoffs.setdefault(trip.pickup_zone_id, Counter())[trip.dropoff_zone_id] += 1
    return DemandTable(
        city_id=city_id,
        timezone=timezone,
        origin=origin,
        days=(len(days[WEEKDAY]), len(days[WEEKEND])),
        hours=(tuple(hours[WEEKDAY]), tuple(hours[WEEKEND])),
        pickups={zone_id: tuple(counts) for zone_id, counts in sorted(pickups.items())},
        dropoffs={
            zone_id: dict(sorted(counts.items())) for zone_id, counts in sorted(dropoffs.items())
        },
    )


def is_a_ride(trip: Trip) -> bool:
    """Whether a trip lasted a minute; shorter ones are mistakes of the meter."""
    return (
        trip.dropoff is not None and (trip.dropoff - trip.pickup).total_seconds() >= _LEAST_TRIP_S
    )


def table_to_json(table: DemandTable) -> str:
    """Write a table, one zone a line, so that a change can be read."""
    head = {
        "city_id": table.city_id,
        "timezone": table.timezone,
        "origin": table.origin,
        "days": dict(zip(_DAY_TYPES, table.days, strict=True)),
        "hours": dict(zip(_DAY_TYPES, table.hours, strict=True)),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for name, rows in (("pickups", table.pickups), ("dropoffs", table.dropoffs)):
        inner = ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in rows.items())
        lines.append(f"  {json.dumps(name)}: {{\n{inner}\n  }}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def table_from_json(text: str) -> DemandTable:
    """Read what `table_to_json` wrote."""
    tree: dict[str, Any] = json.loads(text)
    return DemandTable(
        city_id=tree["city_id"],
        timezone=tree["timezone"],
        origin=tree["origin"],
        days=_by_day_type(tree["days"]),
        hours=_by_day_type({kind: tuple(row) for kind, row in tree["hours"].items()}),
        pickups={zone_id: tuple(counts) for zone_id, counts in tree["pickups"].items()},
        dropoffs=tree["dropoffs"],
    )


def shipped_table() -> DemandTable:
    """The table that comes with the package: New York's taxis, March 2019."""
    return table_from_json(
        files("pricing.simulator").joinpath("nyc_demand.json").read_text(encoding="utf-8")
    )


def _by_day_type(tree: Mapping[str, Any]) -> Any:
    return tuple(tree[kind] for kind in _DAY_TYPES)


def known_share(table: DemandTable, zone_ids: Sequence[str]) -> float:
    """Share of the counted pick-ups that lie in one of these zones."""
    known = set(zone_ids)
    total = sum(map(sum, table.pickups.values()))
    here = sum(sum(counts) for zone_id, counts in table.pickups.items() if zone_id in known)
    return here / total if total else 0.0
