"""The composition root: builds the API's concrete objects and closes them again, in reverse.

Its neighbours open the read path, the write path and the mode; here they meet. Opening calls no
dependency, so each process starts with everything dead.
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
from pricing.health.passive import PassiveHealth
from pricing.health.ramps import Ramps
from pricing.metrics.api import Metrics
from pricing.mode.current import CurrentPolicy
from pricing.mode.policy import policies
from pricing.reading.guarded_store import new_breakers
from pricing.stores.operations import PostgresOperations
from pricing.surge.policy.file import load_policy
from pricing.wiring.configs import database_config, kafka_config, window_config
from pricing.wiring.modes import open_system_mode
from pricing.wiring.reading import ReadGuards, open_read_path, read_policy
from pricing.wiring.settings import Settings
from pricing.wiring.writing import DEAD_LETTERS, open_write_path
from pricing.writing.publisher import WatchedPublisher
from pricing.writing.topics import topics_in_background
from pricing.zones import ZoneLocator, load_catalogue

_OPERATORS_IN_FLIGHT = 4


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[tuple[FastAPI, Drain]]:
    """The HTTP application and the switch that its server drains by.

    Raises `CatalogueError` and `KeysError`.
    """
    drain = Drain()
    async with AsyncExitStack() as stack:
        yield create_app(await _open_dependencies(stack, settings, drain)), drain


async def _open_dependencies(
    stack: AsyncExitStack, settings: Settings, drain: Drain
) -> ApiDependencies:
    """What the application calls; `stack` closes it, the last opened first."""
    catalogue, kafka = load_catalogue(settings.zones_file), kafka_config(settings)
    metrics, enter = Metrics(), stack.enter_async_context
    guards = _read_guards(settings, metrics)
    gate = await enter(
        open_gate(settings.keys_path, is_open=settings.auth == "open", wall_s=time.time)
    )
    # Before everything that publishes: the spool must still be open when the last of them closes.
    write = await enter(open_write_path(settings, kafka, metrics.spool, wall_s=time.time))
    await enter(topics_in_background(kafka, on_retry=metrics.retries.on_retry))
    read = await enter(open_read_path(settings, kafka, catalogue, guards, metrics))
    publisher = WatchedPublisher(write.publisher, observers=(guards.health, metrics.calls))
    # After the paths that it reads: a step would take one that is closed for an outage.
    system = await enter(open_system_mode(settings, kafka, guards, read, write, publisher, metrics))
    return ApiDependencies(
        catalogue=catalogue,
        locator=ZoneLocator(catalogue),
        ladder=read.ladder,
        publisher=publisher,
        now_ms=now_ms,
        policy=lambda: guards.policy.now,
        system=system,
        audit=Audit(settings.instance_name, publisher, now_ms=now_ms),
        operations=await enter(_operations(settings, guards.policy, metrics)),
        dead_letters=DeadLetterBox(settings.state_dir / DEAD_LETTERS, now_ms=now_ms),
        health=guards.health,
        metrics=metrics,
        config=_api_config(settings),
        drain=drain,
        idempotency=write.answers,
        gate=gate,
    )


def _operations(settings: Settings, policy: CurrentPolicy, metrics: Metrics) -> PostgresOperations:
    # Few queries at once: what operators look back at must not crowd out the reads of prices.
    config = replace(database_config(settings), max_in_flight=_OPERATORS_IN_FLIGHT)
    return PostgresOperations(config, retry=database_retry(policy, metrics))


def database_retry(policy: CurrentPolicy, metrics: Metrics) -> Retry:
    """Once more, for a connection that died unnoticed; how often, the mode says."""
    return Retry(
        "database",
        RetryPolicy(attempts=2, initial_wait_s=0.05),
        RetryBudget(share=lambda: policy.now.knobs.retry_percent / 100),
        is_passing=lambda error: isinstance(error, DependencyUnavailable),
        observers=(metrics.retries,),
    )


def _api_config(settings: Settings) -> ApiConfig:
    return ApiConfig(
        max_body_bytes=settings.http_max_body_bytes,
        cors_origins=settings.cors_origins,
        readiness_requires=settings.readiness_requires,
        log_price_reads=settings.log_price_reads,
    )


def _read_guards(settings: Settings, metrics: Metrics) -> ReadGuards:
    configs = {
        "redis": parse_breaker(settings.breaker_redis),
        "database": parse_breaker(settings.breaker_database),
        "kafka": parse_breaker(settings.breaker_kafka),
    }
    ramps = Ramps({store: configs[store].slow_call_duration_s for store in ("redis", "database")})
    observers = (metrics.breakers, BreakerLog(), ramps)
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
