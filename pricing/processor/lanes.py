"""Output lanes: each takes ticks in order and writes them until it succeeds.

A lane never holds up another: while Postgres is away, Redis goes on getting every tick. Both
kinds are bounded. A `NewestLane` keeps one tick a city, for a newer one makes an older one
pointless; an `OrderedLane` keeps an hour, then drops the oldest and counts it (the log still
has the events, so that history can be computed again).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Collection

import stamina
import structlog

from pricing.errors import DependencyError
from pricing.surge.city import CityStates

_log = structlog.get_logger(__name__)

Write = Callable[[CityStates], Awaitable[object]]


class Lane(ABC):
    """One output. `run` is its writer and ends only when it is cancelled."""

    def __init__(self, name: str, write: Write) -> None:
        self.name = name
        self.dropped_total = 0
        self._write = write
        self._offered = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def offer(self, states: CityStates) -> None:
        """Take one tick of one city; returns at once."""
        self._put(states)
        self._idle.clear()
        self._offered.set()

    async def run(self) -> None:
        """Write what was offered, one tick at a time, each until it succeeds."""
        while True:
            await self._offered.wait()
            async for attempt in stamina.retry_context(
                on=DependencyError, attempts=None, timeout=None, wait_initial=0.1, wait_max=5.0
            ):
                with attempt:
                    await self._write_next()
            if self._next() is None:
                self._offered.clear()
                self._idle.set()

    async def drain(self) -> None:
        """Return once nothing is pending; the caller sets the deadline."""
        await self._idle.wait()

    @property
    @abstractmethod
    def pending(self) -> int:
        """City ticks that are not written yet."""

    @abstractmethod
    def oldest_pending_ms(self, city_ids: Collection[str]) -> int | None:
        """The oldest tick of these cities that is not written yet; None: all are."""

    @abstractmethod
    def _put(self, states: CityStates) -> None: ...

    @abstractmethod
    def _next(self) -> CityStates | None: ...

    @abstractmethod
    def _done(self, states: CityStates) -> None: ...

    async def _write_next(self) -> None:
        states = self._next()
        if states is not None:
            await self._write(states)
            self._done(states)


class NewestLane(Lane):
    """Keeps the newest tick of each city."""

    def __init__(self, name: str, write: Write) -> None:
        super().__init__(name, write)
        self._pending: dict[str, CityStates] = {}

    @property
    def pending(self) -> int:
        return len(self._pending)

    def oldest_pending_ms(self, city_ids: Collection[str]) -> int | None:
        return min(
            (self._pending[city].tick_ms for city in city_ids if city in self._pending),
            default=None,
        )

    def _put(self, states: CityStates) -> None:
        self._pending[states.city_id] = states

    def _next(self) -> CityStates | None:
        return next(iter(self._pending.values()), None)

    def _done(self, states: CityStates) -> None:
        if self._pending.get(states.city_id) is states:
            del self._pending[states.city_id]


class OrderedLane(Lane):
    """Keeps every tick in order, up to `capacity` of them."""

    def __init__(self, name: str, write: Write, *, capacity: int) -> None:
        super().__init__(name, write)
        self._pending: deque[CityStates] = deque()
        self._capacity = capacity

    @property
    def pending(self) -> int:
        return len(self._pending)

    def oldest_pending_ms(self, city_ids: Collection[str]) -> int | None:
        return next((entry.tick_ms for entry in self._pending if entry.city_id in city_ids), None)

    def _put(self, states: CityStates) -> None:
        if len(self._pending) >= self._capacity:
            self._pending.popleft()
            if self.dropped_total == 0:
                _log.error("output is away too long, oldest ticks are dropped", output=self.name)
            self.dropped_total += 1
        self._pending.append(states)

    def _next(self) -> CityStates | None:
        return self._pending[0] if self._pending else None

    def _done(self, states: CityStates) -> None:
        if self._pending and self._pending[0] is states:
            self._pending.popleft()
