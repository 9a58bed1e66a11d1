"""The live rungs of the ladder: a store behind all that keeps it from holding a read up.

The one place where the order around a call is fixed, outermost first:

    request deadline ( single flight ( breaker ( bulkhead ( timeout ( driver )))))

The timeout stands inside the breaker, for a cancellation from outside would tell it nothing.
The request's own deadline stands outside the flight: a caller who gives up leaves the fetch to
those who have more time, and the fetch is bounded by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog

from fallback.breaker import (
    BreakerConfig,
    BreakerObserver,
    BreakerRegistry,
    CircuitBreaker,
    Verdict,
)
from fallback.clock import Monotonic, monotonic_s
from fallback.errors import CircuitOpenError, DeadlineExceeded, RampingUp, RejectedLocally
from fallback.guards.bulkhead import Bulkhead
from fallback.guards.deadline import hop_s
from fallback.guards.single_flight import BatchedFlight, Landed
from pricing.errors import (
    DependencyError,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.model import Source, ZoneState
from pricing.ports import CallObserver, ZoneStates
from pricing.reading.last_known import LastKnownZones
from pricing.reading.policy import ReadPolicy
from pricing.reading.prefetch import MemoPrefetch, Prefetch

_log = structlog.get_logger(__name__)

_STALLED_S = 0.03
"""A timer that fires so late was held up by the event loop."""
_RESERVE_S = 0.02
"""Of the request's time, kept for the rungs below and for the answer."""


class StoreReading(NamedTuple):
    """What a rung gave: the states it found, or why it could not look."""

    states: Mapping[str, ZoneState]
    failure: Exception | None = None
    """A `DependencyError` or a `RejectedLocally`."""
    begun_s: float = 0.0
    """Monotonic: what the store knew by then is in the states."""
    is_joined: bool = False
    """Another read had asked for some of the zones already."""


class HopLimits(NamedTuple):
    """What a rung may do now."""

    timeout_ms: int
    in_flight: int


class Rung(Protocol):
    """One place to look for states. `read` never raises: a failure is part of the reading."""

    @property
    def source(self) -> Source: ...

    async def read(self, zone_ids: Sequence[str]) -> StoreReading: ...


def judge(error: BaseException) -> Verdict:
    """What the end of a call says of the server: our own full pool says nothing."""
    if isinstance(error, DependencySaturated | RejectedLocally) or not isinstance(error, Exception):
        return Verdict.NEUTRAL
    return Verdict.FAILURE


def new_breakers(
    configs: Mapping[str, BreakerConfig], observers: Sequence[BreakerObserver] = ()
) -> BreakerRegistry:
    """A breaker for each dependency, which knows what the dependency's errors mean."""
    breakers = BreakerRegistry()
    for name, config in configs.items():
        breakers.add(CircuitBreaker(name, config, judge=judge, observers=observers))
    return breakers


def _admit_all(_dependency: str) -> bool:
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class CallGuards:
    """What guards the calls to every store alike, and who hears how they ended."""

    breakers: BreakerRegistry
    observers: Sequence[CallObserver] = ()
    admits: Callable[[str], bool] = _admit_all
    """Whether a read may go to a dependency while that is given its load back."""
    now_s: Monotonic = monotonic_s


class GuardedStore:
    """A store as a rung. `close` ends what is under way. One event loop.

    `limits` is asked at each call to the store, so that a change of mode holds at once.
    """

    def __init__(
        self,
        *,
        dependency: str,
        source: Source,
        states: ZoneStates,
        limits: Callable[[], HopLimits],
        guards: CallGuards,
        prefetch: Prefetch | None = None,
    ) -> None:
        self.source = source
        self.breaker = guards.breakers[dependency]
        self.bulkhead = Bulkhead(dependency, limits().in_flight)
        self._dependency = dependency
        self._states = states
        self._limits = limits
        self._observers = tuple(guards.observers)
        self._admits = guards.admits
        self._now_s = guards.now_s
        self._prefetch = prefetch
        self._flight: BatchedFlight[str, StoreReading] = BatchedFlight(self._fetch)

    @property
    def followers_total(self) -> int:
        """Reads that joined one under way."""
        return self._flight.followers_total

    async def read(self, zone_ids: Sequence[str]) -> StoreReading:
        """Look zones up, within the rung's timeout and what the request has left."""
        cap_s = self._limits().timeout_ms / 1000
        try:
            # Here for who would only join a flight or wait for its turn; the call itself asks
            # again, for the breaker may open in between.
            self.breaker.check()
            if not self._admits(self._dependency):
                return StoreReading({}, RampingUp(self._dependency))
            left_s = hop_s(self._dependency, cap_s, reserve_s=_RESERVE_S, now_s=self._now_s)
        except (CircuitOpenError, DeadlineExceeded) as error:
            return StoreReading({}, error)
        if left_s >= cap_s:
            # The fetch is bounded by the same cap: no timer of the caller's own.
            return await self._land(zone_ids)
        try:
            async with asyncio.timeout(left_s):
                return await self._land(zone_ids)
        except TimeoutError:
            return StoreReading({}, DeadlineExceeded(self._dependency))

    async def close(self) -> None:
        await self._flight.close()

    def _late(self, ends_s: float) -> DependencyError:
        """What a timeout that should have ended then says of the server.

        One that fires much too late says nothing: this process itself stood still, and the
        answer may well have been there.
        """
        if self._now_s() - ends_s > _STALLED_S:
            return DependencySaturated(self._dependency, "this process stood still")
        return DependencyTimeout(self._dependency, "no answer in time")

    async def _land(self, zone_ids: Sequence[str]) -> StoreReading:
        if len(zone_ids) == 1:
            landed = await self._flight.get(zone_ids[0])
            return _joined(landed.result) if landed.is_joined else landed.result
        return _merge_readings(await self._flight.get_many(zone_ids))

    async def _fetch(self, zone_ids: Sequence[str]) -> StoreReading:
        """One call to the store, for everybody who asked in this turn."""
        # Before the call: what the store learns while it answers may be missing from the answer,
        # and the memo must not hide it for longer than its time.
        begun_s = self._now_s()
        prefetch = self._prefetch
        wanted = zone_ids if prefetch is None else prefetch.extend(zone_ids, begun_s)
        try:
            states = await self.breaker.call(lambda: self._bounded(wanted))
        except RejectedLocally as error:
            return StoreReading({}, error)
        except DependencyError as error:
            for observer in self._observers:
                observer.failed(self._dependency, error)
            return StoreReading({}, error)
        # After the breaker has counted the call: who hears of it may ask for the breaker's state.
        for observer in self._observers:
            observer.succeeded(self._dependency)
        if prefetch is not None:
            prefetch.keep(zone_ids, states, begun_s)
        return StoreReading(states, begun_s=begun_s)

    async def _bounded(self, zone_ids: Sequence[str]) -> Mapping[str, ZoneState]:
        # Anew, and not what `read` saw: the mode may have changed since.
        limits = self._limits()
        self.bulkhead.limit = limits.in_flight
        ends_s = self._now_s() + limits.timeout_ms / 1000
        try:
            with self.bulkhead:
                async with asyncio.timeout(limits.timeout_ms / 1000):
                    return await self._states.read(zone_ids)
        except (TimeoutError, DependencyTimeout):
            # The driver has the same deadline: of two timers that are due, either may be first.
            raise self._late(ends_s) from None
        except (DependencyError, RejectedLocally):
            raise
        except Exception:  # noqa: BLE001 # a fault of an adapter may cost a rung, not the answer
            _log.exception("rung broke", dependency=self._dependency)
            raise DependencyUnavailable(self._dependency, "the adapter broke") from None


@dataclass(frozen=True, slots=True)
class GuardedStores:
    """The two live rungs, in their order. `close` ends what is under way."""

    redis: GuardedStore
    database: GuardedStore

    async def close(self) -> None:
        await self.redis.close()
        await self.database.close()


def guarded_stores(
    *,
    cache: ZoneStates,
    store: ZoneStates,
    policy: Callable[[], ReadPolicy],
    guards: CallGuards,
    last_known: LastKnownZones | None = None,
) -> GuardedStores:
    """Redis and Postgres as rungs, behind the breakers `redis` and `database`.

    With `last_known`, Redis is asked early for the zones that its memo is asked for.
    """

    def redis_limits() -> HopLimits:
        now = policy()
        return HopLimits(now.redis_timeout_ms, now.redis_in_flight)

    def database_limits() -> HopLimits:
        now = policy()
        return HopLimits(now.database_timeout_ms, now.database_in_flight)

    redis = GuardedStore(
        dependency="redis",
        source=Source.REDIS,
        states=cache,
        limits=redis_limits,
        guards=guards,
        prefetch=None if last_known is None else MemoPrefetch(last_known, policy),
    )
    database = GuardedStore(
        dependency="database",
        source=Source.DATABASE,
        states=store,
        limits=database_limits,
        guards=guards,
    )
    return GuardedStores(redis, database)


def _joined(reading: StoreReading) -> StoreReading:
    return reading._replace(is_joined=True)


def _merge_readings(landed: Iterable[Landed[StoreReading]]) -> StoreReading:
    """Several fetches as one reading: failed if one did, and as old as the oldest."""
    readings = [each.result for each in landed]
    is_joined = any(each.is_joined for each in landed)
    if len(readings) == 1:
        return _joined(readings[0]) if is_joined else readings[0]
    states: dict[str, ZoneState] = {}
    for reading in readings:
        states.update(reading.states)
    failure = next((each.failure for each in readings if each.failure is not None), None)
    return StoreReading(states, failure, min(each.begun_s for each in readings), is_joined)
