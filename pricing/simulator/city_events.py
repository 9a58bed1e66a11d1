"""What a city sends out: the two kinds of event that the service takes in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RideRequest:
    """A rider asks for a ride."""

    at_ms: int
    request_id: str
    rider_id: str
    zone_id: str


@dataclass(frozen=True, slots=True)
class DriverStatus:
    """A driver's heartbeat."""

    at_ms: int
    driver_id: str
    zone_id: str
    available: bool


CityEvent = RideRequest | DriverStatus
