"""Puts the read path together: the stores behind their breakers, the ladder, and what warms it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from fallback.breaker import BreakerRegistry
from pricing.clocks import StateClock, now_ms
from pricing.health.passive import PassiveHealth
from pricing.health.probing import probing
from pricing.health.ramps import Ramps
from pricing.metrics.api import Metrics
from pricing.mode.current import CurrentPolicy
from pricing.model import Source
from pricing.reading.guarded_store import (
    CallGuards,
    GuardedStore,
    GuardedStores,
    HopLimits,
    guarded_stores,
)
from pricing.reading.ladder import Ladder
from pricing.reading.last_known import LastKnownZones
from pricing.reading.policy import ReadPolicy
from pricing.reading.price_topic import TopicStates
from pricing.reading.refresh import FIRST_READ_MS, RefreshParts, ZoneRefresh, refreshing
from pricing.reading.snapshot import SnapshotFile
from pricing.stores.postgres_states import PostgresStates
from pricing.stores.redis_states import RedisStates
from pricing.wiring.configs import database_config, redis_config
from pricing.wiring.settings import Settings
from pricing.zones import Catalogue
from streaming.config import KafkaConfig
from streaming.consuming.topic_tail import TopicTailReader
from streaming.topics import ZONE_PRICES, full_name


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadGuards:
    """What reads are guarded by; made before them, for others watch it too."""

    breakers: BreakerRegistry
    ramps: Ramps
    policy: CurrentPolicy
    health: PassiveHealth


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPath:
    """What the application sees of it."""

    ladder: Ladder
    last_known: LastKnownZones
    zones: int
    rungs: GuardedStores
    clock: StateClock


def _elapsed_s() -> float:
    """Steady seconds; where the system can tell, with those that the machine slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def read_policy(settings: Settings) -> ReadPolicy:
    """The limits of price reads, as long as nobody changes them."""
    return ReadPolicy(
        redis_timeout_ms=settings.redis_timeout_ms,
        database_timeout_ms=settings.database_timeout_ms,
        database_in_flight=settings.database_max_in_flight,
        memo_ms=settings.memo_ms,
        deadline_ms=settings.price_deadline_ms,
    )


@asynccontextmanager
async def open_read_path(
    settings: Settings,
    kafka: KafkaConfig,
    catalogue: Catalogue,
    guards: ReadGuards,
    metrics: Metrics,
) -> AsyncIterator[ReadPath]:
    """The ladder over Redis, Postgres and the last known states.

    Opening asks the stores once for every zone, and waits a bounded moment for what they say.
    """
    path = _Path(settings, catalogue, guards, metrics)
    async with (
        RedisStates(redis_config(settings)) as cache,
        PostgresStates(database_config(settings)) as store,
        probing(
            guards.health,
            {"redis": cache.ping, "database": store.ping},
            breakers=guards.breakers,
            observers=(metrics.probes,),
        ),
        path.rungs(cache, store) as rungs,
        path.refreshing(cache, rungs, kafka),
    ):
        yield ReadPath(
            ladder=path.ladder(rungs),
            last_known=path.last_known,
            zones=len(catalogue.zones),
            rungs=rungs,
            clock=path.clock,
        )


class _Path:
    """The parts that ladder and refresh share, and how each is made of them."""

    def __init__(
        self, settings: Settings, catalogue: Catalogue, guards: ReadGuards, metrics: Metrics
    ) -> None:
        self._settings = settings
        self._catalogue = catalogue
        self._guards = guards
        self._metrics = metrics
        self._calls = CallGuards(
            breakers=guards.breakers,
            observers=(guards.health, metrics.calls),
            admits=guards.ramps.admits,
        )
        self.last_known = LastKnownZones([zone.zone_id for zone in catalogue.zones])
        self.clock = StateClock(now_ms, _elapsed_s)

    def ladder(self, rungs: GuardedStores) -> Ladder:
        return Ladder(
            cache=rungs.redis,
            store=rungs.database,
            last_known=self.last_known,
            policy=lambda: self._guards.policy.now.read,
            tick_ms=self._settings.tick_s * 1000,
            now_ms=self.clock.now_ms,
        )

    @asynccontextmanager
    async def rungs(
        self, cache: RedisStates, store: PostgresStates
    ) -> AsyncIterator[GuardedStores]:
        """The stores as readers ask them."""
        rungs = guarded_stores(
            cache=cache,
            store=store,
            policy=lambda: self._guards.policy.of_stores(self._guards.ramps),
            guards=self._calls,
            last_known=self.last_known,
        )
        for rung in (rungs.redis, rungs.database):
            self._metrics.bulkheads.watch(rung.bulkhead)
        self._metrics.shared_reads.watch("redis", lambda: rungs.redis.followers_total)
        self._metrics.shared_reads.watch("database", lambda: rungs.database.followers_total)
        try:
            yield rungs
        finally:
            await rungs.close()

    @asynccontextmanager
    async def refreshing(
        self, cache: RedisStates, rungs: GuardedStores, kafka: KafkaConfig
    ) -> AsyncIterator[None]:
        """What keeps the last known states warm, while open."""
        settings, metrics = self._settings, self._metrics
        # A client of its own, for the deadline is the client's too: one connection, asked until a
        # store has told anything.
        first = replace(
            redis_config(settings),
            timeout_ms=max(FIRST_READ_MS, settings.redis_timeout_ms),
            max_connections=1,
        )
        async with (
            RedisStates(first) as first_cache,
            self._refresh_rung(first_cache, first.timeout_ms) as first_rung,
            self._refresh_rung(cache, settings.redis_timeout_ms) as rung,
            TopicTailReader(kafka, full_name(kafka, ZONE_PRICES)) as feed,
        ):
            parts = RefreshParts(
                last_known=self.last_known,
                cache=rung,
                first_cache=first_rung,
                store=rungs.database,
                clock=self.clock,
                feed=TopicStates(feed, self._catalogue.zones, self._guards.breakers["kafka"]),
                file=SnapshotFile(settings.state_dir, on_outcome=metrics.refreshes.snapshot),
                observers=(metrics.refreshes,),
            )
            async with refreshing(ZoneRefresh(parts, every_s=settings.stale_refresh_s)):
                yield

    @asynccontextmanager
    async def _refresh_rung(
        self, states: RedisStates, timeout_ms: int
    ) -> AsyncIterator[GuardedStore]:
        """Redis for the refresh, whose deadline no mode shortens: nobody waits for it.

        With the short one it would take a healthy Redis for dead wherever many zones take longer
        than one, open the breaker, and the mode that shortened it would stay.
        """
        rung = GuardedStore(
            dependency="redis",
            source=Source.REDIS,
            states=states,
            limits=lambda: HopLimits(timeout_ms, in_flight=1),
            guards=self._calls,
        )
        try:
            yield rung
        finally:
            await rung.close()
