"""Queues in front of the outputs: each takes ticks in order and writes them until it succeeds.

A queue never holds up another: while Postgres is away, Redis goes on getting every tick. Both
kinds are bounded. A `NewestQueue` keeps one tick a city, for a newer one makes an older one
pointless; an `OrderedQueue` keeps an hour, then drops the oldest and counts it (the log still
has the events, so that history can be computed again).
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import stamina
import structlog

from pricing.errors import DependencySaturated, DependencyTimeout, DependencyUnavailable
from pricing.surge.city import CityStates

_log = structlog.get_logger(__name__)

Write = Callable[[CityStates], Awaitable[object]]

_AWAY = (DependencyUnavailable, DependencyTimeout, DependencySaturated)
_REFUSALS = 10
"""How often an output may refuse one tick before that tick is given up: about half a minute."""


class OutputQueue(ABC):
    """One output. `run` is its writer and ends only when it is cancelled."""

    def __init__(self, name: str, write: Write) -> None:
        self.name = name
        self.dropped_total = 0
        self._write = write
        self._attempted: CityStates | None = None
        self._offered = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def offer(self, states: CityStates) -> None:
        """Take one tick of one city; returns at once."""
        self._put(states)
        self._idle.clear()
        self._offered.set()

    async def run(self) -> None:
        """Write what was offered, one tick at a time, each until it succeeds.

        An output that is away is waited for. One that refuses a tick again and again, or breaks
        on it, would hold up all that follow: such a tick is logged, counted and given up.
        """
        while True:
            await self._offered.wait()
            await self._write_one()
            # No await in between: an offer made during the write is seen here, or sets the event.
            if self._next() is None:
                self._offered.clear()
                self._idle.set()

    async def _write_one(self) -> None:
        refusals = 0

        def may_succeed(error: BaseException) -> bool:
            nonlocal refusals
            refusals += not isinstance(error, _AWAY)
            # A cancellation is asked about too, and must end the writer.
            return isinstance(error, Exception) and refusals < _REFUSALS

        try:
            async for attempt in stamina.retry_context(
                on=may_succeed, attempts=None, timeout=None, wait_initial=0.1, wait_max=5.0
            ):
                with attempt:
                    await self._write_next()
        except Exception:  # noqa: BLE001 - whatever one tick does to its output, the next ones must go on
            _log.exception("tick given up that an output refused", output=self.name)
            self.dropped_total += 1
            if self._attempted is not None:
                self._done(self._attempted)

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
        # Asked for anew at each attempt: a newer tick may have taken the place of the one refused.
        states = self._attempted = self._next()
        if states is not None:
            await self._write(states)
            self._done(states)


class NewestQueue(OutputQueue):
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
        # Not the tick that was offered during the write.
        if self._pending.get(states.city_id) is states:
            del self._pending[states.city_id]


class OrderedQueue(OutputQueue):
    """Keeps every tick in order, up to `capacity` of them."""

    def __init__(self, name: str, write: Write, *, capacity: int) -> None:
        super().__init__(name, write)
        self._pending: deque[CityStates] = deque()
        self._capacity = capacity
        self._is_dropping = False

    @property
    def pending(self) -> int:
        return len(self._pending)

    def oldest_pending_ms(self, city_ids: Collection[str]) -> int | None:
        return next((entry.tick_ms for entry in self._pending if entry.city_id in city_ids), None)

    def _put(self, states: CityStates) -> None:
        if len(self._pending) >= self._capacity:
            self._pending.popleft()
            if not self._is_dropping:
                _log.error("oldest ticks dropped, output away too long", output=self.name)
            self._is_dropping = True
            self.dropped_total += 1
        self._pending.append(states)

    def _next(self) -> CityStates | None:
        return self._pending[0] if self._pending else None

    def _done(self, states: CityStates) -> None:
        # A full queue may have dropped it during the write.
        if self._pending and self._pending[0] is states:
            self._pending.popleft()
            self._is_dropping = False


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where ticks go: `history` gets every tick, `news` only those that are recent."""

    history: Sequence[OutputQueue]
    news: Sequence[OutputQueue]

    @property
    def queues(self) -> list[OutputQueue]:
        return [*self.history, *self.news]

    def offer(self, states: CityStates, *, is_news: bool) -> None:
        """Hand one tick of one city to every output that takes it; returns at once."""
        for queue in self.queues if is_news else self.history:
            queue.offer(states)

    def oldest_pending_ms(self, city_ids: Collection[str]) -> int | None:
        """The oldest tick of these cities that some output has not; None: each has all."""
        pending = [queue.oldest_pending_ms(city_ids) for queue in self.queues]
        return min((tick_ms for tick_ms in pending if tick_ms is not None), default=None)

    async def drain(self) -> None:
        """Return once no output has a tick pending; the caller sets the deadline."""
        for queue in self.queues:
            await queue.drain()
