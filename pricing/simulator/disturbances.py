"""Disturbances that a city may go through: let-out, storm, outage, a skewed clock, duplicates.

Times are on the clock of events, whatever the city's own clock does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from pricing.simulator.city_events import CityEvent, DriverStatus, RideRequest
from pricing.simulator.random_streams import random_stream

STORM_DEMAND: Final = 1.4
STORM_SPEED: Final = 0.7
STORM_FLEET: Final = 0.85


@dataclass(frozen=True, slots=True, kw_only=True)
class LetOut:
    """An arena empties: extra requests from one zone."""

    zone_id: str
    start_ms: int
    end_ms: int
    requests_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Storm:
    """Rain: more requests, slower streets, fewer drivers."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """No heartbeat gets through; drivers and riders go on."""

    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """Some drivers' devices stamp their heartbeats too early (negative) or too late."""

    share: float
    offset_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicates:
    """Some requests are sent twice."""

    share: float


Disturbance = LetOut | Storm | Outage | Skew | Duplicates


class Disturbances:
    """What a city goes through, asked by moment."""

    def __init__(self, plan: Sequence[Disturbance] = (), *, seed: int = 1) -> None:
        self._plan = tuple(plan)
        self._seed = seed
        self._rng = random_stream(seed, "duplicates")

    def pace(self, now_ms: int) -> float:
        """Speed on the streets over the usual."""
        return STORM_SPEED if self._storms(now_ms) else 1.0

    def fleet(self, now_ms: int) -> float:
        """Drivers on duty over the usual."""
        return STORM_FLEET if self._storms(now_ms) else 1.0

    def rates(self, usual: Sequence[float], zone_ids: Sequence[str], now_ms: int) -> list[float]:
        """Requests per second of each zone, in place of the usual ones."""
        factor = STORM_DEMAND if self._storms(now_ms) else 1.0
        rates = [factor * rate for rate in usual]
        for planned in self._plan:
            if (
                isinstance(planned, LetOut)
                and _holds(planned, now_ms)
                and planned.zone_id in zone_ids
            ):
                rates[zone_ids.index(planned.zone_id)] += planned.requests_per_s
        return rates

    def sent(self, event: CityEvent) -> list[CityEvent]:
        """What the service gets to see of an event: nothing, it, or it twice."""
        copies = [event]
        for planned in self._plan:
            if isinstance(event, RideRequest):
                if isinstance(planned, Duplicates) and self._rng.random() < planned.share:
                    copies.append(event)
            elif isinstance(planned, Outage) and _holds(planned, event.at_ms):
                return []
            elif isinstance(planned, Skew) and self._is_skewed(event, planned):
                copies = [replace(copy, at_ms=copy.at_ms + planned.offset_ms) for copy in copies]
        return copies

    def _storms(self, now_ms: int) -> bool:
        return any(isinstance(planned, Storm) and _holds(planned, now_ms) for planned in self._plan)

    def _is_skewed(self, status: DriverStatus, skew: Skew) -> bool:
        return random_stream(self._seed, "skew", status.driver_id).random() < skew.share


def _holds(disturbance: LetOut | Storm | Outage, now_ms: int) -> bool:
    return disturbance.start_ms <= now_ms < disturbance.end_ms
