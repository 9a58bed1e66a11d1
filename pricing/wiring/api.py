"""The composition root: builds the API's concrete objects and closes them again, in reverse.

`read_path`, `write_path` and `mode.opening` put their parts together; here the parts meet. The
processor's half is `processor.opening`. Opening touches no dependency, so each process starts
with everything dead.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI

from fallback.breaker import parse_breaker
from fallback.guards.retry import Retry, RetryBudget, RetryPolicy
from fallback.pump.dead_letters import DeadLetterBox
from pricing.access.audit import Audit
from pricing.access.auth import open_gate
from pricing.api.app import create_app
from pricing.api.http.dependencies import ApiConfig, ApiDependencies
from pricing.clocks import now_ms
from pricing.drain import Drain
from pricing.errors import DependencyUnavailable
from pricing.health.breaker_log import BreakerLog
from pricing.health.passive import PassiveHealth, WatchedPublisher
from pricing.health.ramps import Ramps
from pricing.metrics.api import Metrics
from pricing.mode.current import CurrentPolicy, SystemMode
from pricing.mode.inputs import mode_config
from pricing.mode.policy import policies
from pricing.reading.guarded_store import new_breakers
from pricing.stores.operations import PostgresOperations
from pricing.surge.policy.file import load_policy
from pricing.wiring.configs import database_config, kafka_config, window_config
from pricing.wiring.modes import ModeParts, StepTrigger, open_system_mode
from pricing.wiring.reading import ReadGuards, ReadPath, open_read_path, read_policy
from pricing.wiring.settings import Settings
from pricing.wiring.writing import DEAD_LETTERS, WritePath, open_write_path
from pricing.writing.topics import topics_in_background
from pricing.zones import ZoneLocator, load_catalogue
from streaming.config import KafkaConfig
from streaming.consuming.topic_tail import TopicTailReader
from streaming.errors import BrokerError
from streaming.topics import SYSTEM_MODES, full_name

_KAFKA_IDLE_MS = 5_000
"""So long without an event, what Kafka's readers see tells whether it is there."""


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[tuple[FastAPI, Drain]]:
    """The HTTP application and the switch that its server drains by.

    Raises `CatalogueError` and `KeysError`.
    """
    catalogue = load_catalogue(settings.zones_file)
    kafka, metrics, bell, drain = kafka_config(settings), Metrics(), StepTrigger(), Drain()
    shelter = _shelter(settings, metrics, bell)
    async with AsyncExitStack() as stack:
        gate = await stack.enter_async_context(
            open_gate(settings.keys_path, is_open=settings.auth == "open", wall_s=time.time)
        )
        write = await stack.enter_async_context(
            open_write_path(settings, kafka, metrics.spool, wall_s=time.time)
        )
        await stack.enter_async_context(topics_in_background(kafka, on_retry=metrics.on_retry))
        read = await stack.enter_async_context(
            open_read_path(settings, kafka, catalogue, shelter, metrics)
        )
        publisher = WatchedPublisher(write.publisher, observers=(shelter.health, metrics))
        operations = PostgresOperations(
            replace(database_config(settings), max_in_flight=4),
            retry=database_retry(shelter.policy, metrics),
        )
        parts = ApiDependencies(
            catalogue=catalogue,
            locator=ZoneLocator(catalogue),
            ladder=read.ladder,
            publisher=publisher,
            now_ms=now_ms,
            policy=lambda: shelter.policy.now,
            system=await stack.enter_async_context(
                _open_mode(settings, kafka, shelter, metrics, bell, read, write, publisher)
            ),
            audit=Audit(settings.instance_name, publisher, now_ms=now_ms),
            operations=await stack.enter_async_context(operations),
            letters=DeadLetterBox(settings.state_dir / DEAD_LETTERS, now_ms=now_ms),
            health=shelter.health,
            metrics=metrics,
            config=_api_config(settings),
            drain=drain,
            idempotency=write.answers,
            dead_letters=None if write.delivery is None else write.delivery.burial.stats,
            gate=gate,
        )
        yield create_app(parts), drain


def database_retry(policy: CurrentPolicy, metrics: Metrics) -> Retry:
    """Once more, for a connection that died unnoticed; how often, the mode says."""
    return Retry(
        "database",
        RetryPolicy(attempts=2, initial_wait_s=0.05),
        RetryBudget(share=lambda: policy.now.knobs.retry_percent / 100),
        is_passing=lambda error: isinstance(error, DependencyUnavailable),
        observers=(metrics,),
    )


def _api_config(settings: Settings) -> ApiConfig:
    return ApiConfig(
        max_body_bytes=settings.http_max_body_bytes,
        cors_origins=settings.cors_origins,
        readiness_requires=settings.readiness_requires,
        log_price_reads=settings.log_price_reads,
    )


def _shelter(settings: Settings, metrics: Metrics, bell: StepTrigger) -> ReadGuards:
    configs = {
        "redis": parse_breaker(settings.breaker_redis),
        "database": parse_breaker(settings.breaker_database),
        "kafka": parse_breaker(settings.breaker_kafka),
    }
    ramps = Ramps({store: configs[store].slow_call_duration_s for store in ("redis", "database")})
    observers = (metrics.breakers, BreakerLog(), ramps, bell)
    breakers = new_breakers(configs, observers=observers)
    for breaker in breakers:
        metrics.breakers.watch(breaker)
    quantum_micro = load_policy(settings.policy_file, window_config(settings)).quantum_micro
    return ReadGuards(
        breakers=breakers,
        ramps=ramps,
        policy=CurrentPolicy(policies(read_policy(settings), quantum_micro)),
        health=PassiveHealth(now_ms=now_ms, breakers=breakers),
    )


@asynccontextmanager
async def _open_mode(
    settings: Settings,
    kafka: KafkaConfig,
    shelter: ReadGuards,
    metrics: Metrics,
    bell: StepTrigger,
    read: ReadPath,
    write: WritePath,
    publisher: WatchedPublisher,
) -> AsyncIterator[SystemMode]:
    def on_kafka(error: BrokerError | None) -> None:
        failure = None if error is None else DependencyUnavailable("kafka", "not readable")
        shelter.health.noticed("kafka", failure, when_idle_ms=_KAFKA_IDLE_MS)

    async with TopicTailReader(kafka, full_name(kafka, SYSTEM_MODES)) as feed:
        parts = ModeParts(
            config=mode_config(
                tick_s=settings.tick_s,
                up_dwell_s=settings.mode_up_dwell_s,
                down_dwell_s=settings.mode_down_dwell_s,
            ),
            policy=shelter.policy,
            bell=bell,
            ramps=shelter.ramps,
            breakers=shelter.breakers,
            health=shelter.health,
            registry=metrics.registry,
            pulse=metrics.pulse,
            database=read.rungs.database.bulkhead,
            local=read.local,
            zones=read.zones,
            tick_ms=settings.tick_s * 1000,
            age_ms_of=lambda at_ms: max(0, read.clock.now_ms() - at_ms),
            delivery=write.delivery,
            publisher=publisher,
            feed=feed,
            on_kafka=on_kafka,
            directory=settings.state_dir,
            instance=settings.instance_name,
            now_ms=now_ms,
        )
        async with open_system_mode(parts) as system:
            yield system
