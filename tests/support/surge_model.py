"""What prices should be, said a second time: straight from the definitions, and slowly.

Nothing here is shared with the code under test. Every answer looks at the whole set of events,
and fractions stand where the service has millionths.

    counts_at(events, 600_000)                  {"zone": (demand, supply)}, and the signal
    multiplier(3, 0, "live", zone_class="core") 1.05 in millionths
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import floor
from typing import Literal
from zlib import crc32

SignalName = Literal["live", "held", "silent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One record of a ride request, as the log holds it."""

    request_id: str
    event_id: str
    zone_id: str
    occurred_ms: int
    arrived_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One record of a driver's status, as the log holds it."""

    driver_id: str
    event_id: str
    zone_id: str
    available: bool
    occurred_ms: int
    arrived_ms: int


Record = Request | Beat


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """The settings of the specification; a test may choose shorter ones."""

    grace_ms: int = 250
    demand_ms: int = 300_000
    supply_ms: int = 60_000
    hold_after_ms: int = 20_000
    unknown_after_ms: int = 180_000


SPECIFIED = Windows()


@dataclass(frozen=True, slots=True)
class Counts:
    """Demand and supply of each zone that has any, and the city's signal."""

    zones: Mapping[str, tuple[int, int]]
    signal: SignalName

    def of(self, zone_id: str) -> tuple[int, int]:
        return self.zones.get(zone_id, (0, 0))


def counts_at(records: Iterable[Record], tick_ms: int, windows: Windows = SPECIFIED) -> Counts:
    """What every zone of one city counts at a tick, from all records of that city."""
    visible = [record for record in records if _is_visible(record, tick_ms, windows)]
    beats = [record for record in visible if isinstance(record, Beat)]
    requests = [record for record in visible if isinstance(record, Request)]
    demand = _demand_at(requests, tick_ms, windows)
    signal, reference_ms = _signal_at(beats, tick_ms, windows)
    supply = {} if signal == "silent" else _supply_at(beats, reference_ms, windows)
    zones = {
        zone_id: (demand.get(zone_id, 0), supply.get(zone_id, 0)) for zone_id in {*demand, *supply}
    }
    return Counts(zones, signal)


def _time_of(record: Record) -> int:
    return min(record.occurred_ms, record.arrived_ms)


def _is_visible(record: Record, tick_ms: int, windows: Windows) -> bool:
    return _time_of(record) <= tick_ms and record.arrived_ms <= tick_ms + windows.grace_ms


def _demand_at(requests: list[Request], tick_ms: int, windows: Windows) -> dict[str, int]:
    inside = [copy for copy in requests if _time_of(copy) > tick_ms - windows.demand_ms]
    demand: dict[str, int] = {}
    for request_id in {copy.request_id for copy in inside}:
        copies = [copy for copy in inside if copy.request_id == request_id]
        # The zone breaks ties that only a broken producer makes: one event id, two zones.
        first = min(copies, key=lambda copy: (_time_of(copy), copy.event_id, copy.zone_id))
        demand[first.zone_id] = demand.get(first.zone_id, 0) + 1
    return demand


def _signal_at(beats: list[Beat], tick_ms: int, windows: Windows) -> tuple[SignalName, int]:
    """The signal, and the moment from which the age of heartbeats is measured."""
    if not beats:
        return "silent", tick_ms
    clock_ms = max(_time_of(beat) for beat in beats)
    if tick_ms - clock_ms <= windows.hold_after_ms:
        return "live", tick_ms
    held = tick_ms - clock_ms <= windows.unknown_after_ms
    return "held" if held else "silent", clock_ms + windows.hold_after_ms


def _supply_at(beats: list[Beat], reference_ms: int, windows: Windows) -> dict[str, int]:
    supply: dict[str, int] = {}
    for driver_id in {beat.driver_id for beat in beats}:
        own = [beat for beat in beats if beat.driver_id == driver_id]
        newest = max(
            own, key=lambda beat: (_time_of(beat), beat.event_id, beat.zone_id, beat.available)
        )
        if newest.available and reference_ms - _time_of(newest) <= windows.supply_ms:
            supply[newest.zone_id] = supply.get(newest.zone_id, 0) + 1
    return supply


_MICRO = 1_000_000
_PRIOR_DRIVERS = Fraction(5)
_PRIOR_RATIO = Fraction(1, 2)
_STEP_MICRO = 50_000

CURVES: Mapping[str, tuple[tuple[Fraction, Fraction], ...]] = {
    name: tuple((Fraction(x), Fraction(y)) for x, y in points)
    for name, points in {
        "core": [("1", "1"), ("2", "1.5"), ("4", "2.5"), ("6", "3")],
        "airport": [("1", "1"), ("2", "1.4"), ("4", "2")],
        "outer": [("1.2", "1"), ("2", "1.4"), ("4", "2.2"), ("6", "2.5")],
    }.items()
}
"""New York's, as in the shipped policy."""

GREATEST: Mapping[str, int] = {"core": 3_000_000, "airport": 2_000_000, "outer": 2_500_000}


def raw_multiplier(demand: int, supply: int, signal: SignalName, *, zone_class: str) -> int:
    """What New York's curve gives, in millionths; only the two values on the way are floored."""
    if signal == "silent":
        return _MICRO
    ratio = (demand + _PRIOR_DRIVERS * _PRIOR_RATIO) / (supply + _PRIOR_DRIVERS)
    ratio = Fraction(floor(ratio * _MICRO), _MICRO)
    points = CURVES[zone_class]
    if ratio <= points[0][0]:
        return floor(points[0][1] * _MICRO)
    for (x0, y0), (x1, y1) in pairwise(points):
        if ratio <= x1:
            return floor((y0 + (y1 - y0) * (ratio - x0) / (x1 - x0)) * _MICRO)
    return floor(points[-1][1] * _MICRO)


def multiplier(
    demand: int,
    supply: int,
    signal: SignalName,
    *,
    zone_class: str,
    least_micro: int = _MICRO,
    greatest_micro: int | None = None,
) -> int:
    """What a rider pays in New York, in millionths; bounds are the zone's, else its class's."""
    raw = raw_multiplier(demand, supply, signal, zone_class=zone_class)
    bounded = min(max(raw, _MICRO), GREATEST[zone_class])
    stepped = bounded // _STEP_MICRO * _STEP_MICRO
    ceiling = GREATEST[zone_class] if greatest_micro is None else greatest_micro
    return min(max(stepped, least_micro), ceiling)


def is_full_snapshot_due(zone_id: str, tick_ms: int) -> bool:
    """Whether a zone is written at this tick although nothing changed; ticks of 5 s."""
    return crc32(zone_id.encode()) % 12 == tick_ms // 5_000 % 12
