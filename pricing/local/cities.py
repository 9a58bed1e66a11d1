"""The cities of a catalogue, living or replayed, as one source of events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

from pricing.errors import TripsError, os_reason
from pricing.local.options import DemoOptions
from pricing.simulator.build import check_day, living_city, replayed_city
from pricing.simulator.city import LivingCity
from pricing.simulator.city_events import CityEvent, DriverStatus
from pricing.simulator.trip_file import Trip, read_trips
from pricing.simulator.trips import TripReplay
from pricing.zones import Catalogue

_LONGEST_PAUSE_MS: Final = 60_000


@dataclass(slots=True)
class Cities:
    """What happens in every city. The service is told of it through `opening` and `step`."""

    all: list[LivingCity]
    open_loop: bool = False
    replay: TripReplay | None = None
    _no_prices: Mapping[str, int] = field(default_factory=dict)

    def opening(self) -> tuple[list[CityEvent], list[CityEvent]]:
        """Where every driver is, then the last minutes' requests; sent in this order."""
        sent = [one for city in self.all for one in city.opening()]
        places: list[CityEvent] = [one for one in sent if isinstance(one, DriverStatus)]
        requests: list[CityEvent] = [one for one in sent if not isinstance(one, DriverStatus)]
        return places, requests

    def step(self, now_ms: int, prices: Mapping[str, int]) -> Iterable[CityEvent]:
        """What was sent since the last step. After a long pause (a machine that slept): nothing
        of it, for it would come too late to count.
        """
        seen = self._no_prices if self.open_loop else prices
        for city in self.all:
            if now_ms - city.now_ms > _LONGEST_PAUSE_MS:
                city.skip_to(now_ms)
            yield from city.step(now_ms, seen)

    @property
    def time(self) -> str:
        """Day and time of day in the first city."""
        return f"{self.all[0].local:%a %H:%M}"

    @property
    def note(self) -> str:
        """What a watcher should know about the rides."""
        if self.replay is not None and self.replay.is_over(self.all[0].now_ms):
            return "the trips file has come to its end: no more requests"
        return ""


def read_trips_file(path: Path, day: date | None) -> list[Trip]:
    """Read recorded trips. Raises `TripsError`, also where they do not reach `day`."""
    try:
        with path.open(encoding="utf-8", newline="") as lines:
            trips = read_trips(lines, path.name)
    except OSError as error:
        raise TripsError(str(path), 0, None, os_reason(error)) from error
    try:
        check_day(trips, day)
    except ValueError as error:
        raise TripsError(path.name, 0, "pickup", str(error)) from None
    return trips


def make_cities(
    options: DemoOptions, catalogue: Catalogue, trips: list[Trip] | None, start_ms: int
) -> Cities:
    """Make the cities that the options ask for, warmed up; takes half a second for New York."""
    if trips is not None:
        return _replayed(options, catalogue, trips, start_ms)
    # The name goes into the ids of requests: a second run must not repeat those of the first.
    name = "" if options.open_loop else f"{start_ms:x}"
    whole = len(catalogue.zones)
    cities = [
        living_city(
            catalogue.zones_of(city_id),
            start_ms=start_ms,
            time_of_day=options.time_of_day,
            seed=options.seed,
            scale=options.scale * len(catalogue.zones_of(city_id)) / whole,
            speed=options.speed,
            name=name,
        )
        for city_id in catalogue.city_ids
    ]
    return Cities(cities, options.open_loop)


def _replayed(
    options: DemoOptions, catalogue: Catalogue, trips: list[Trip], start_ms: int
) -> Cities:
    """Replay in the one city that has most of the trips' zones."""
    named = {trip.pickup_zone_id for trip in trips}
    city_id = max(
        catalogue.city_ids,
        key=lambda city_id: sum(zone.zone_id in named for zone in catalogue.zones_of(city_id)),
    )
    city, replay = replayed_city(
        catalogue.zones_of(city_id),
        trips,
        start_ms=start_ms,
        day=options.first_day,
        time_of_day=options.time_of_day,
        seed=options.seed,
        copies=int(options.scale),
        speed=options.speed,
    )
    return Cities([city], options.open_loop, replay)
