"""Riders of a living city: who asks for a ride, where and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp, sqrt
from random import Random
from typing import Final, Protocol
from uuid import UUID, uuid5

from pricing.model import MICRO
from pricing.simulator.random_streams import random_stream
from pricing.simulator.rates import DemandShape
from pricing.simulator.streets import Streets

REQUEST_NAMESPACE: Final = UUID("8a6b4a49-6d0c-5f3e-9f0e-2d6f3a1c7b10")
"""Every simulated request id is a UUIDv5 in it."""
_RECORDED_SHARE: Final = 0.70
"""Of riders, who go where a recorded trip from their zone went; the others by distance."""
_REACH_KM: Final = 4.0


@dataclass(frozen=True, slots=True)
class Ride:
    """One rider's wish. Zones are positions in the city's list."""

    at_ms: int
    request_id: str
    zone: int
    dropoff: int
    trip_s: float | None
    """Time with the rider on board, as recorded; None: as the distance says."""


class Demand(Protocol):
    """Where a city's rides come from."""

    def expected(self, now_ms: int, usual: Sequence[float]) -> Sequence[float]:
        """Requests per second of each zone that drivers may reckon with."""
        ...

    def arrivals(
        self, from_ms: int, to_ms: int, rates: Sequence[float], prices: Mapping[int, int]
    ) -> list[Ride]:
        """Rides asked for in [from, to), in any order; the next call goes on from `to_ms`.

        `rates` are requests per second of each zone, `prices` multipliers in millionths of
        the zones that have one; a recorded city heeds neither.
        """
        ...


class Destinations:
    """Draws where a ride goes: like a recorded trip, else to a zone that is near and busy."""

    def __init__(self, shape: DemandShape, streets: Streets) -> None:
        self._shape = shape
        self._streets = streets
        self._zones = range(len(streets))
        self._pulls: dict[int, list[float]] = {}

    def draw(self, zone: int, rng: Random) -> int:
        """The zone of drop-off of one ride from `zone`."""
        recorded, trips = self._shape.destinations[zone]
        if recorded and rng.random() < _RECORDED_SHARE:
            return rng.choices(recorded, weights=trips)[0]
        return rng.choices(self._zones, cum_weights=self._pull(zone))[0]

    def _pull(self, zone: int) -> list[float]:
        pull = self._pulls.get(zone)
        if pull is None:
            pull = list(
                accumulate(
                    share * exp(-self._streets.crow_km(zone, there) / _REACH_KM)
                    for there, share in enumerate(self._shape.day_shares)
                )
            )
            self._pulls[zone] = pull
        return pull


class Riders:
    """Asks for rides at random, less often where the price is high (elasticity -0.5).

    Each zone waits out exponential stretches of its own expected requests, so the process is
    Poisson with a rate that may change at any time, whatever the step.
    """

    def __init__(
        self, zone_ids: Sequence[str], destinations: Destinations, *, seed: int, name: str
    ) -> None:
        self._zone_ids = zone_ids
        self._destinations = destinations
        self._name = f"{name}:{seed}"
        self._rngs = [random_stream(seed, "riders", zone_id) for zone_id in zone_ids]
        self._left = [rng.expovariate(1.0) for rng in self._rngs]
        self._counts = [0] * len(zone_ids)

    def expected(self, now_ms: int, usual: Sequence[float]) -> Sequence[float]:
        """What is usual at this hour."""
        del now_ms
        return usual

    def arrivals(
        self, from_ms: int, to_ms: int, rates: Sequence[float], prices: Mapping[int, int]
    ) -> list[Ride]:
        """Rides of one step; `rates` hold throughout it."""
        rides: list[Ride] = []
        for zone, rate in enumerate(rates):
            if zone in prices:
                expected = rate * sqrt(MICRO / prices[zone]) * (to_ms - from_ms) / 1000
            else:
                expected = rate * (to_ms - from_ms) / 1000
            left = self._left[zone] - expected
            while left < 0:
                at_ms = to_ms + int(left / expected * (to_ms - from_ms))
                rides.append(self._ride(zone, min(at_ms, to_ms - 1)))
                left += self._rngs[zone].expovariate(1.0)
            self._left[zone] = left
        return rides

    def _ride(self, zone: int, at_ms: int) -> Ride:
        self._counts[zone] += 1
        label = f"{self._name}:{self._zone_ids[zone]}:{self._counts[zone]}"
        request_id = str(uuid5(REQUEST_NAMESPACE, label))
        dropoff = self._destinations.draw(zone, self._rngs[zone])
        return Ride(at_ms, request_id, zone, dropoff, None)
