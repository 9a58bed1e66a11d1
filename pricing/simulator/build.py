"""Builds a city from its zones and a few figures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, tzinfo
from typing import Final

from pricing.model import Zone
from pricing.simulator.city import LivingCity
from pricing.simulator.demand_table import DemandTable, shipped_table
from pricing.simulator.disturbances import Disturbance
from pricing.simulator.rates import CityClock, Rates, demand_shape
from pricing.simulator.riders import Destinations, Riders
from pricing.simulator.streets import Streets
from pricing.simulator.trip_file import Trip
from pricing.simulator.trips import TripReplay, trips_per_s, utc_ms

MAX_SPEED: Final = 24.0
MAX_SCALE: Final = 100.0
MAX_REPLAY_SPEED: Final = 1_000.0
MAX_COPIES: Final = 10_000


def living_city(
    zones: Sequence[Zone],
    *,
    start_ms: int,
    time_of_day: time | None = None,
    seed: int = 1,
    scale: float = 1.0,
    speed: float = 1.0,
    name: str = "",
    table: DemandTable | None = None,
    disturbances: Sequence[Disturbance] = (),
) -> LivingCity:
    """Make a city of one city's zones that lives from `start_ms` on.

    `scale` is its requests per second over a mean hour; `speed` turns the hour of day that
    many times faster. `time_of_day` sets the city's own clock (None: it shows `start_ms`).
    `name` keeps the request ids of two runs with one seed apart. `table` defaults to New York's.

    Raises:
        ValueError: `scale` or `speed` is out of range.
    """
    _check("scale", scale, 0 < scale <= MAX_SCALE)
    _check("speed", speed, 1 <= speed <= MAX_SPEED)
    zone_ids = [zone.zone_id for zone in zones]
    shape = demand_shape(zone_ids, zones[0].city_id, table or shipped_table())
    start = _local(start_ms, shape.timezone)
    shown_ms = start_ms
    if time_of_day is not None:
        shown_ms = utc_ms(datetime.combine(start.date(), time_of_day), shape.timezone)
    clock = CityClock(start_ms, shown_ms, speed, shape.timezone)
    riders = Riders(zone_ids, Destinations(shape, Streets(zones)), seed=seed, name=name)
    rates = Rates(shape=shape, clock=clock, requests_per_s=scale)
    return LivingCity(zones, rates=rates, demand=riders, seed=seed, disturbances=disturbances)


def replayed_city(
    zones: Sequence[Zone],
    trips: Sequence[Trip],
    *,
    start_ms: int,
    day: date | None = None,
    time_of_day: time | None = None,
    seed: int = 1,
    copies: int = 1,
    speed: float = 1.0,
    table: DemandTable | None = None,
) -> tuple[LivingCity, TripReplay]:
    """Make a city whose rides are recorded trips (in order of pick-up, at least one).

    It begins on `day` (None: the first of the file) at `time_of_day` (None: the present one).
    Drivers are simulated, as many as the rides need.

    Raises:
        ValueError: `copies` or `speed` is out of range, or the file does not reach that day.
    """
    _check("copies", copies, 1 <= copies <= MAX_COPIES)
    _check("speed", speed, 0 < speed <= MAX_REPLAY_SPEED)
    check_day(trips, day)
    zone_ids = [zone.zone_id for zone in zones]
    shape = demand_shape(zone_ids, zones[0].city_id, table or shipped_table())
    of_day = time_of_day or _local(start_ms, shape.timezone).time()
    shown_ms = utc_ms(datetime.combine(day or trips[0].pickup.date(), of_day), shape.timezone)
    clock = CityClock(start_ms, shown_ms, speed, shape.timezone)
    streets = Streets(zones)
    replay = TripReplay(
        trips,
        zone_ids,
        clock=clock,
        streets=streets,
        destinations=Destinations(shape, streets),
        seed=seed,
        copies=copies,
    )
    rates = Rates(shape=shape, clock=clock, requests_per_s=trips_per_s(trips) * copies * speed)
    return LivingCity(zones, rates=rates, demand=replay, seed=seed), replay


def check_day(trips: Sequence[Trip], day: date | None) -> None:
    """Raise `ValueError` where the trips (in order of pick-up) do not reach a day."""
    first, last = trips[0].pickup.date(), trips[-1].pickup.date()
    if day is not None and not first <= day <= last:
        raise ValueError(f"day={day} is outside the trips, {first} to {last}")


def _local(moment_ms: int, timezone: tzinfo) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).astimezone(timezone)


def _check(name: str, value: float, holds: bool) -> None:
    if not holds:
        raise ValueError(f"{name}={value!r} is out of range")
