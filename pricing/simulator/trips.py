"""Replays recorded trips as the rides of a city, in copies and faster if wanted."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final
from uuid import uuid5

from pricing.simulator.demand_table import is_a_ride
from pricing.simulator.random_streams import random_stream
from pricing.simulator.rates import CityClock
from pricing.simulator.riders import REQUEST_NAMESPACE, Destinations, Ride
from pricing.simulator.streets import Streets
from pricing.simulator.trip_file import Trip

_SHIFT_MS: Final = 900_000
"""A copy is asked for up to this much before or after its trip."""
_ZONE_KEPT_SHARE: Final = 0.8
"""Of copies, that stay in the trip's zone; the others go to a neighbour."""
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class _Row:
    at_ms: int
    row: int
    zone: int
    dropoff: int | None
    trip_s: float | None


class TripReplay:
    """The rides of a trips file, on the city's own clock.

    A copy of a row has the same request id in every replay. A trip from a zone that the city
    does not have is left out and counted in `skipped`.
    """

    def __init__(
        self,
        trips: Sequence[Trip],
        zone_ids: Sequence[str],
        *,
        clock: CityClock,
        streets: Streets,
        destinations: Destinations,
        seed: int,
        copies: int,
    ) -> None:
        index = {zone_id: position for position, zone_id in enumerate(zone_ids)}
        self._rows = _rows(trips, index, clock.timezone)
        self.skipped = len(trips) - len(self._rows)
        self._clock = clock
        self._streets = streets
        self._destinations = destinations
        self._seed = seed
        self._copies = copies
        self._next: int | None = None
        self._around = [0.0] * len(zone_ids)
        self._entered = 0
        self._left = 0
        self._due: list[tuple[int, str, Ride]] = []

    def is_over(self, now_ms: int) -> bool:
        """Whether the file has no more trips after a moment of the clock of events."""
        city_ms = self._clock.city_ms(now_ms)
        return not self._rows or self._rows[-1].at_ms + _SHIFT_MS < city_ms

    def expected(self, now_ms: int, usual: Sequence[float]) -> Sequence[float]:
        """The rate of copies: those of all trips that are less than a copy's shift away."""
        del usual
        city_ms = self._clock.city_ms(now_ms)
        self._entered = self._count(self._entered, city_ms + _SHIFT_MS, 1)
        self._left = self._count(self._left, city_ms - _SHIFT_MS, -1)
        factor = self._copies * self._clock.speed * 1000 / (2 * _SHIFT_MS)
        return [max(0.0, trips * factor) for trips in self._around]

    def arrivals(
        self, from_ms: int, to_ms: int, rates: Sequence[float], prices: Mapping[int, int]
    ) -> list[Ride]:
        """Rides recorded in this stretch; neither rates nor prices change what was."""
        del rates, prices
        since_ms = self._clock.city_ms(from_ms)
        if self._next is None:
            first_ms = since_ms - _SHIFT_MS
            self._next = bisect_left(self._rows, first_ms, key=lambda row: row.at_ms)
        self._copy_until(self._clock.city_ms(to_ms) + _SHIFT_MS, since_ms)
        rides = []
        while self._due and self._due[0][0] < self._clock.city_ms(to_ms):
            rides.append(heapq.heappop(self._due)[2])
        return rides

    def _count(self, position: int, until_ms: int, sign: int) -> int:
        while position < len(self._rows) and self._rows[position].at_ms < until_ms:
            zone = self._rows[position].zone
            neighbours = self._streets.neighbours(zone) or (zone,)
            self._around[zone] += sign * _ZONE_KEPT_SHARE
            for near in neighbours:
                self._around[near] += sign * (1 - _ZONE_KEPT_SHARE) / len(neighbours)
            position += 1
        return position

    def _copy_until(self, city_ms: int, since_ms: int) -> None:
        position = self._next or 0
        while position < len(self._rows) and self._rows[position].at_ms < city_ms:
            for copy in range(self._copies):
                due_ms, ride = self._copy(self._rows[position], copy)
                if due_ms >= since_ms:
                    heapq.heappush(self._due, (due_ms, ride.request_id, ride))
            position += 1
        self._next = position

    def _copy(self, row: _Row, copy: int) -> tuple[int, Ride]:
        rng = random_stream(self._seed, "copies", f"{row.row}:{copy}")
        due_ms = row.at_ms + int(rng.uniform(-_SHIFT_MS, _SHIFT_MS))
        zone = row.zone
        if rng.random() >= _ZONE_KEPT_SHARE:
            zone = rng.choice(self._streets.neighbours(zone) or (zone,))
        dropoff = row.dropoff
        if dropoff is None:
            dropoff = self._destinations.draw(zone, rng)
        request_id = str(uuid5(REQUEST_NAMESPACE, f"{row.row}:{copy}"))
        return due_ms, Ride(self._clock.event_ms(due_ms), request_id, zone, dropoff, row.trip_s)


def trips_per_s(trips: Sequence[Trip]) -> float:
    """Mean rate of a file over its whole days; `trips` in order of pick-up."""
    days = (trips[-1].pickup.date() - trips[0].pickup.date()).days + 1
    return len(trips) / (days * _DAY_S)


def utc_ms(local: datetime, timezone: tzinfo) -> int:
    """Epoch ms of a naive local time; the hour that a clock skips is read as the one after."""
    return int(local.replace(tzinfo=timezone).timestamp() * 1000)


def _rows(trips: Sequence[Trip], index: Mapping[str, int], timezone: tzinfo) -> list[_Row]:
    rows = []
    for trip in trips:
        if trip.pickup_zone_id in index:
            at_ms = utc_ms(trip.pickup, timezone)
            dropoff, trip_s = None, None
            if trip.dropoff is not None and is_a_ride(trip):
                dropoff = index.get(trip.dropoff_zone_id or "")
                trip_s = (utc_ms(trip.dropoff, timezone) - at_ms) / 1000
            zone = index[trip.pickup_zone_id]
            rows.append(
                _Row(at_ms, trip.row, zone, dropoff, trip_s if dropoff is not None else None)
            )
    rows.sort(key=lambda row: (row.at_ms, row.row))
    return rows
