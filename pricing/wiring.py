"""The composition root: builds every concrete object and closes it again, in reverse.

The only place where `pricing`, `streaming` and `fallback` meet. Opening touches no dependency,
so each process starts with everything dead.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI

from fallback.breaker import BreakerObserver, BreakerRegistry, parse_breaker
from fallback.dead_letters import DeadLetterBox
from pricing.api.parts import ApiConfig, ApiParts
from pricing.app import create_app
from pricing.audit import Audit
from pricing.auth import open_gate
from pricing.breaker_log import BreakerLog
from pricing.cache import RedisStates
from pricing.configs import database_config, kafka_config, redis_config, window_config
from pricing.drain import Drain
from pricing.errors import DependencyUnavailable
from pricing.feed_states import TopicStates
from pricing.health import PassiveHealth, WatchedPublisher
from pricing.ladder import Ladder
from pricing.local_zones import LocalZones
from pricing.metrics import Metrics
from pricing.mode.inputs import mode_config
from pricing.mode.opening import Bell, ModeParts, open_system_mode
from pricing.mode.policy import policies
from pricing.mode.ramps import Ramps
from pricing.mode.system import CurrentPolicy
from pricing.operations_store import PostgresOperations
from pricing.probing import probing
from pricing.processor.opening import open_processor
from pricing.read_policy import ReadPolicy
from pricing.refresh import RefreshParts, ZoneRefresh, refreshing
from pricing.rungs import new_breakers, store_rungs
from pricing.settings import Settings
from pricing.state_clock import StateClock
from pricing.store import PostgresStates
from pricing.surge.policy_file import load_policy
from pricing.topic_keeping import create_topics, topics_in_background, warn_of_clashes
from pricing.wall_clock import now_ms
from pricing.write_path import DEAD_LETTERS, open_write_path
from pricing.zone_snapshot import SnapshotFile
from pricing.zones import ZoneLocator, load_catalogue
from streaming.price_feed import PriceFeed
from streaming.topics import SYSTEM_MODES, ZONE_PRICES, full_name

__all__ = [
    "create_topics",
    "database_config",
    "kafka_config",
    "open_api",
    "open_processor",
    "warn_of_clashes",
    "window_config",
]


_KAFKA_IDLE_MS = 5_000
"""So long without an event, what Kafka's readers see tells whether it is there."""


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


def _slow_calls_s(settings: Settings) -> dict[str, float]:
    """By store, from how many seconds on a call is slow."""
    texts = {"redis": settings.breaker_redis, "database": settings.breaker_database}
    return {name: parse_breaker(text).slow_call_duration_s for name, text in texts.items()}


def open_breakers(
    settings: Settings, metrics: Metrics, *observers: BreakerObserver
) -> BreakerRegistry:
    """The circuit breakers of an API process."""
    texts = {
        "redis": settings.breaker_redis,
        "database": settings.breaker_database,
        "kafka": settings.breaker_kafka,
    }
    configs = {name: parse_breaker(text) for name, text in texts.items()}
    breakers = new_breakers(configs, observers=(metrics, BreakerLog(), *observers))
    for breaker in breakers:
        metrics.watch_breaker(breaker)
    return breakers


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[tuple[FastAPI, Drain]]:
    """The HTTP application and the switch that its server drains by.

    Raises `CatalogueError` and `KeysError`.
    """
    catalogue = load_catalogue(settings.zones_file)
    kafka = kafka_config(settings)
    metrics = Metrics()
    bell, ramps = Bell(), Ramps(_slow_calls_s(settings))
    breakers = open_breakers(settings, metrics, ramps, bell)
    quantum_micro = load_policy(settings.policy_file, window_config(settings)).quantum_micro
    policy = CurrentPolicy(policies(read_policy(settings), quantum_micro))
    health = PassiveHealth(now_ms=now_ms, breakers=breakers)
    observers = (health, metrics)
    drain = Drain()
    async with AsyncExitStack() as stack:
        gate = await stack.enter_async_context(
            open_gate(settings.keys_path, is_open=settings.auth == "open", wall_s=time.time)
        )
        cache = await stack.enter_async_context(RedisStates(redis_config(settings)))
        store = await stack.enter_async_context(PostgresStates(database_config(settings)))
        write = await stack.enter_async_context(
            open_write_path(settings, kafka, metrics.spool, wall_s=time.time)
        )
        await stack.enter_async_context(topics_in_background(kafka, on_retry=metrics.on_retry))
        await stack.enter_async_context(
            probing(
                health,
                {"redis": cache.ping, "database": store.ping},
                breakers=breakers,
                observers=(metrics,),
            )
        )
        local = LocalZones([zone.zone_id for zone in catalogue.zones])
        rungs = store_rungs(
            cache=cache,
            store=store,
            breakers=breakers,
            policy=lambda: policy.of_stores(ramps),
            observers=observers,
            admits=ramps.admits,
            local=local,
        )
        stack.push_async_callback(rungs.close)
        for rung in (rungs.redis, rungs.database):
            metrics.watch_bulkhead(rung.bulkhead)
        metrics.watch_flight("redis", lambda: rungs.redis.followers_total)
        metrics.watch_flight("database", lambda: rungs.database.followers_total)
        clock = StateClock(now_ms, _elapsed_s)
        ladder = Ladder(
            cache=rungs.redis,
            store=rungs.database,
            local=local,
            policy=lambda: policy.now.read,
            tick_ms=settings.tick_s * 1000,
            now_ms=clock.now_ms,
        )
        feed = await stack.enter_async_context(PriceFeed(kafka, full_name(kafka, ZONE_PRICES)))
        refresh = ZoneRefresh(
            RefreshParts(
                local=local,
                cache=rungs.redis,
                store=rungs.database,
                clock=clock,
                feed=TopicStates(feed, catalogue.zones, breakers["kafka"]),
                file=SnapshotFile(settings.state_dir, on_outcome=metrics.snapshot),
                observers=(metrics,),
            ),
            every_s=settings.stale_refresh_s,
        )
        await stack.enter_async_context(refreshing(refresh))
        publisher = WatchedPublisher(write.publisher, observers=observers)
        mode_feed = PriceFeed(kafka, full_name(kafka, SYSTEM_MODES))
        operations = PostgresOperations(replace(database_config(settings), max_in_flight=4))
        system = await stack.enter_async_context(
            open_system_mode(
                ModeParts(
                    config=mode_config(
                        tick_s=settings.tick_s,
                        up_dwell_s=settings.mode_up_dwell_s,
                        down_dwell_s=settings.mode_down_dwell_s,
                    ),
                    policy=policy,
                    bell=bell,
                    ramps=ramps,
                    breakers=breakers,
                    health=health,
                    registry=metrics.registry,
                    pulse=metrics.pulse,
                    database=rungs.database.bulkhead,
                    local=local,
                    zones=len(catalogue.zones),
                    tick_ms=settings.tick_s * 1000,
                    age_ms_of=lambda at_ms: max(0, clock.now_ms() - at_ms),
                    delivery=write.delivery,
                    publisher=publisher,
                    feed=await stack.enter_async_context(mode_feed),
                    on_kafka=lambda error: health.noticed(
                        "kafka",
                        None if error is None else DependencyUnavailable("kafka", "not readable"),
                        when_idle_ms=_KAFKA_IDLE_MS,
                    ),
                    directory=settings.state_dir,
                    instance=settings.instance_name,
                    now_ms=now_ms,
                )
            )
        )
        parts = ApiParts(
            catalogue=catalogue,
            locator=ZoneLocator(catalogue),
            ladder=ladder,
            publisher=publisher,
            now_ms=now_ms,
            policy=lambda: policy.now,
            system=system,
            audit=Audit(settings.instance_name, publisher, now_ms=now_ms),
            operations=await stack.enter_async_context(operations),
            letters=DeadLetterBox(settings.state_dir / DEAD_LETTERS, now_ms=now_ms),
            health=health,
            metrics=metrics,
            config=ApiConfig(
                max_body_bytes=settings.http_max_body_bytes,
                cors_origins=settings.cors_origins,
                readiness_requires=settings.readiness_requires,
                log_price_reads=settings.log_price_reads,
            ),
            drain=drain,
            idempotency=write.answers,
            dead_letters=None if write.delivery is None else write.delivery.burial.stats,
            gate=gate,
        )
        yield create_app(parts), drain
