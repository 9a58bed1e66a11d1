"""The read ladder: Redis, then Postgres, then this process's last known state, then the
default fare. Every known zone gets an answer, whatever is down.

No rung is tried twice: the next rung is the retry. A miss is no failure, but goes on to the
next rung too. A state older than the hard limit is no answer, wherever it was found. What a
rung gave is kept in the local table with its true age; nothing is ever written back to Redis,
and a default fare is written nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from pricing.answers import Answer, FallbackReason, default_answer, state_answer
from pricing.errors import DependencyError, DependencyTimeout, DependencyUnavailable
from pricing.local_zones import LocalZones
from pricing.model import Source, Zone, ZoneState
from pricing.ports import ZoneStates

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LadderConfig:
    """Deadlines and age limits of price reads. Raises `ValueError` naming the bad value."""

    redis_timeout_ms: int = 100
    database_timeout_ms: int = 500
    tick_ms: int = 5_000
    """Distance of two states of a zone: the measure of freshness."""
    max_age_ms: int = 3_600_000
    """An older state is not served any more."""

    def __post_init__(self) -> None:
        for name in ("redis_timeout_ms", "database_timeout_ms", "tick_ms", "max_age_ms"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}={value!r} must be at least 1")


class CallObserver(Protocol):
    """Hears how each call to a dependency ended. Must not raise and must not wait."""

    def succeeded(self, dependency: str) -> None: ...

    def failed(self, dependency: str, error: DependencyError) -> None: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What a rung gave: the states it found, or why it could not look."""

    states: Mapping[str, ZoneState]
    failure: DependencyError | None = None


class Rung(Protocol):
    """One place to look for states. `read` never raises: a failure is part of the reading."""

    @property
    def source(self) -> Source: ...

    async def read(self, zone_ids: Sequence[str]) -> Reading: ...


class TimedRung:
    """A store under a deadline of its own, beside whatever the adapter keeps to."""

    def __init__(
        self,
        *,
        dependency: str,
        source: Source,
        states: ZoneStates,
        timeout_ms: int,
        observers: Sequence[CallObserver] = (),
    ) -> None:
        self.source = source
        self._dependency = dependency
        self._states = states
        self._timeout_s = timeout_ms / 1000
        self._observers = observers

    async def read(self, zone_ids: Sequence[str]) -> Reading:
        try:
            async with asyncio.timeout(self._timeout_s):
                states = await self._states.read(zone_ids)
        except TimeoutError:
            return self._failed(DependencyTimeout(self._dependency, "no answer in time"))
        except DependencyError as error:
            return self._failed(error)
        except Exception:  # noqa: BLE001 # a fault of an adapter may cost a rung, not the answer
            _log.exception("rung broke", dependency=self._dependency)
            return self._failed(DependencyUnavailable(self._dependency, "the adapter broke"))
        for observer in self._observers:
            observer.succeeded(self._dependency)
        return Reading(states)

    def _failed(self, error: DependencyError) -> Reading:
        for observer in self._observers:
            observer.failed(self._dependency, error)
        return Reading({}, error)


class Ladder:
    """Answers the price of every zone that it is asked for."""

    def __init__(
        self,
        *,
        cache: ZoneStates,
        store: ZoneStates,
        local: LocalZones,
        config: LadderConfig,
        now_ms: Callable[[], int],
        observers: Sequence[CallObserver] = (),
    ) -> None:
        self._rungs: tuple[Rung, ...] = (
            TimedRung(
                dependency="redis",
                source=Source.REDIS,
                states=cache,
                timeout_ms=config.redis_timeout_ms,
                observers=observers,
            ),
            TimedRung(
                dependency="database",
                source=Source.DATABASE,
                states=store,
                timeout_ms=config.database_timeout_ms,
                observers=observers,
            ),
        )
        self._local = local
        self._config = config
        self._now_ms = now_ms

    @property
    def tick_ms(self) -> int:
        return self._config.tick_ms

    @property
    def known_states(self) -> int:
        """How many zones the stale rung holds a state of."""
        return len(self._local)

    async def price(self, zone: Zone) -> Answer:
        return (await self.prices((zone,)))[0]

    async def prices(self, zones: Sequence[Zone]) -> list[Answer]:
        """One answer per zone, in the order given; each rung is read once, for all still open."""
        climb = _Climb(zone.zone_id for zone in zones)
        for rung in self._rungs:
            if not climb.open:
                break
            reading = await rung.read(tuple(climb.open))
            self._local.keep(reading.states.values())
            climb.take(rung.source, reading, self._oldest_ms())
        if climb.open:
            climb.take_stale(self._local, self._oldest_ms())
        now_ms = self._now_ms()
        return [self._answer(zone, climb, now_ms) for zone in zones]

    def _oldest_ms(self) -> int:
        return self._now_ms() - self._config.max_age_ms

    def _answer(self, zone: Zone, climb: _Climb, now_ms: int) -> Answer:
        found = climb.found.get(zone.zone_id)
        if found is None:
            reason = climb.reason(zone.zone_id, FallbackReason.ALL_SYSTEMS_FAILED)
            return default_answer(zone, reason=reason, now_ms=now_ms)
        return state_answer(
            zone,
            found.state,
            source=found.source,
            reason=found.reason,
            now_ms=now_ms,
            tick_ms=self._config.tick_ms,
        )


@dataclass(frozen=True, slots=True)
class _Found:
    state: ZoneState
    source: Source
    reason: FallbackReason | None


@dataclass(slots=True)
class _Climb:
    """Where one read stands: what was found, what is still open, and what went wrong."""

    wanted: Iterable[str]
    open: dict[str, FallbackReason | None] = field(init=False)
    """Zones without a state, in the order asked, each with why it left the first rung."""
    found: dict[str, _Found] = field(default_factory=dict)
    answered_rungs: int = 0

    def __post_init__(self) -> None:
        self.open = dict.fromkeys(self.wanted)

    def take(self, source: Source, reading: Reading, oldest_ms: int) -> None:
        if reading.failure is None:
            self.answered_rungs += 1
        why = _why(reading)
        for zone_id, reason in list(self.open.items()):
            state = reading.states.get(zone_id)
            if state is not None and state.window_end_ms >= oldest_ms:
                self.found[zone_id] = _Found(state, source, reason)
                del self.open[zone_id]
            elif reason is None:
                self.open[zone_id] = why

    def take_stale(self, local: LocalZones, oldest_ms: int) -> None:
        for zone_id in list(self.open):
            state = local.get(zone_id)
            if state is not None and state.window_end_ms >= oldest_ms:
                reason = self.reason(zone_id, FallbackReason.ALL_SYSTEMS_UNAVAILABLE)
                self.found[zone_id] = _Found(state, Source.STALE_CACHE, reason)
                del self.open[zone_id]

    def reason(self, zone_id: str, all_failed: FallbackReason) -> FallbackReason:
        """Why a zone got no live state: `all_failed` if no rung could look, else Redis's reason."""
        first = self.open[zone_id]
        return all_failed if first is None or not self.answered_rungs else first


def _why(reading: Reading) -> FallbackReason:
    if reading.failure is None:
        return FallbackReason.REDIS_MISS
    if isinstance(reading.failure, DependencyTimeout):
        return FallbackReason.REDIS_TIMEOUT
    return FallbackReason.REDIS_UNAVAILABLE
