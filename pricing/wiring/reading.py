"""Puts the read path together: the stores behind their breakers, the ladder, and what warms it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

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
from pricing.reading.refresh import RefreshParts, ZoneRefresh, refreshing
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
    """The ladder over Redis, Postgres and the last known states. Opening touches nobody."""
    health, breakers = guards.health, guards.breakers
    last_known = LastKnownZones([zone.zone_id for zone in catalogue.zones])
    clock = StateClock(now_ms, _elapsed_s)
    async with (
        RedisStates(redis_config(settings)) as cache,
        PostgresStates(database_config(settings)) as store,
        probing(
            health,
            {"redis": cache.ping, "database": store.ping},
            breakers=breakers,
            observers=(metrics.probes,),
        ),
        _open_rungs(cache, store, last_known, guards, metrics) as rungs,
        _open_patient_rung(cache, settings, guards, metrics) as patient,
        TopicTailReader(kafka, full_name(kafka, ZONE_PRICES)) as feed,
    ):
        parts = RefreshParts(
            last_known=last_known,
            cache=patient,
            store=rungs.database,
            clock=clock,
            feed=TopicStates(feed, catalogue.zones, breakers["kafka"]),
            file=SnapshotFile(settings.state_dir, on_outcome=metrics.refreshes.snapshot),
            observers=(metrics.refreshes,),
        )
        ladder = Ladder(
            cache=rungs.redis,
            store=rungs.database,
            last_known=last_known,
            policy=lambda: guards.policy.now.read,
            tick_ms=settings.tick_s * 1000,
            now_ms=clock.now_ms,
        )
        async with refreshing(ZoneRefresh(parts, every_s=settings.stale_refresh_s)):
            yield ReadPath(
                ladder=ladder,
                last_known=last_known,
                zones=len(catalogue.zones),
                rungs=rungs,
                clock=clock,
            )


@asynccontextmanager
async def _open_rungs(
    cache: RedisStates,
    store: PostgresStates,
    last_known: LastKnownZones,
    guards: ReadGuards,
    metrics: Metrics,
) -> AsyncIterator[GuardedStores]:
    rungs = guarded_stores(
        cache=cache,
        store=store,
        policy=lambda: guards.policy.of_stores(guards.ramps),
        guards=_call_guards(guards, metrics),
        last_known=last_known,
    )
    for rung in (rungs.redis, rungs.database):
        metrics.bulkheads.watch(rung.bulkhead)
    metrics.shared_reads.watch("redis", lambda: rungs.redis.followers_total)
    metrics.shared_reads.watch("database", lambda: rungs.database.followers_total)
    try:
        yield rungs
    finally:
        await rungs.close()


@asynccontextmanager
async def _open_patient_rung(
    cache: RedisStates, settings: Settings, guards: ReadGuards, metrics: Metrics
) -> AsyncIterator[GuardedStore]:
    """Redis for the refresh, whose deadline no mode shortens: nobody waits for it.

    With the short one it would take a healthy Redis for dead wherever many zones take longer
    than one, open the breaker, and the mode that shortened it would stay.
    """
    rung = GuardedStore(
        dependency="redis",
        source=Source.REDIS,
        states=cache,
        limits=lambda: HopLimits(settings.redis_timeout_ms, in_flight=1),
        guards=_call_guards(guards, metrics),
    )
    try:
        yield rung
    finally:
        await rung.close()


def _call_guards(guards: ReadGuards, metrics: Metrics) -> CallGuards:
    return CallGuards(
        breakers=guards.breakers,
        observers=(guards.health, metrics.calls),
        admits=guards.ramps.admits,
    )
