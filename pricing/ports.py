"""What the application asks of its adapters. Each port has a real one and a twin in memory.

Every call may raise `DependencyError` (a leaf of it), and nothing else of the driver's.
Each adapter bounds its own calls in time: a caller never waits for a dead server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from pricing.errors import DependencyError
from pricing.model import ZoneState
from streaming.events.event_types import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CityTick:
    """One tick of one city, on its way to the store."""

    city_id: str
    tick_ms: int
    snapshots: Sequence[ZoneState]
    """The zones that changed and those whose full snapshot is due; may be empty."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of one published event."""

    event_id: str
    status: Literal["sent", "buffered"]
    """`sent`: Kafka has it. `buffered`: it is durable here and will be sent."""


class ZoneStates(Protocol):
    """Reads the newest state of zones. A zone without one is absent from the answer."""

    async def read(self, zone_ids: Sequence[str]) -> Mapping[str, ZoneState]: ...


class StateCache(ZoneStates, Protocol):
    """Redis: every zone at every tick."""

    async def write(self, states: Sequence[ZoneState]) -> int:
        """Store states whose version is newer than the stored one; returns how many were."""
        ...


class StateStore(ZoneStates, Protocol):
    """Postgres: what changed, and each zone once a minute."""

    async def write_tick(self, tick: CityTick) -> None:
        """Store snapshots and the city's last tick in one transaction; a repeat changes nothing."""
        ...


class Publisher(Protocol):
    """Takes events on their way to Kafka.

    `publish` returns once every event is durable: in the log, or on this machine's disk on
    the way there. It raises `DependencyError` when it can promise neither.
    """

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]: ...


class CallObserver(Protocol):
    """Hears how each call to a dependency ended. Must not raise and must not wait."""

    def succeeded(self, dependency: str) -> None: ...

    def failed(self, dependency: str, error: DependencyError) -> None: ...
