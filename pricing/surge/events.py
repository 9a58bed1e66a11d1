"""What a city counts: the events of demand and supply, and what becomes of each."""

from __future__ import annotations

from enum import Flag, auto
from typing import NamedTuple


# Tuples, not data classes: one is made of every record read, in half the time.
class DemandEvent(NamedTuple):
    """One record of a ride request. The same request may be recorded more than once."""

    request_id: str
    event_id: str
    zone_id: str
    """Where the ride begins. Give the catalogue's own string: it is kept as long as it counts."""
    occurred_ms: int
    """When it happened, by the sender's clock."""
    arrived_ms: int
    """When the log got it."""


class SupplyEvent(NamedTuple):
    """One heartbeat of a driver."""

    driver_id: str
    event_id: str
    zone_id: str
    """Where the driver is; as in `DemandEvent`."""
    available: bool
    """Whether the driver would take a ride."""
    occurred_ms: int
    arrived_ms: int


class Disposition(Flag):
    """What became of one event.

    Exactly one of COUNTED, DUPLICATE, LATE and UNKNOWN_ZONE is set; OVERDUE and FUTURE come
    beside it. Iterating gives the single flags, each with a `name`.
    """

    COUNTED = auto()
    """Taken: no repeat, and in time for a tick to come."""
    DUPLICATE = auto()
    """A repeat: the same event once more, or a copy of a request that changes no count."""
    LATE = auto()
    """No tick to come can see it inside a window; it is dropped."""
    UNKNOWN_ZONE = auto()
    """The city has no such zone; it is dropped."""
    OVERDUE = auto()
    """Ticks that should have seen it are counted already; it counts from the next one on."""
    FUTURE = auto()
    """It says that it happened well after it arrived; the arrival stands in."""
