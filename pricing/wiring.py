"""The composition root: builds every concrete object and closes it again, in reverse.

The only place where `pricing`, `streaming` and `fallback` meet. Opening touches no dependency,
so each process starts with everything dead.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import stamina
import structlog
from fastapi import FastAPI

from fallback.breaker import BreakerObserver, BreakerRegistry, parse_breaker
from fallback.dead_letters import DeadLetterBox
from pricing.api.parts import ApiConfig, ApiParts
from pricing.app import create_app
from pricing.audit import Audit
from pricing.auth import open_gate
from pricing.cache import RedisConfig, RedisStates
from pricing.database import DatabaseConfig
from pricing.drain import Drain
from pricing.feed_states import TopicStates
from pricing.health import PassiveHealth, WatchedPublisher, probing
from pricing.ladder import Ladder
from pricing.local_zones import LocalZones
from pricing.metrics import Metrics, ProcessorMetrics
from pricing.mode.inputs import mode_config
from pricing.mode.opening import Bell, ModeParts, open_system_mode
from pricing.mode.policy import policies
from pricing.mode.ramps import Ramps
from pricing.mode.system import CurrentPolicy
from pricing.operations_store import PostgresOperations
from pricing.ports import CityTick
from pricing.processor.burial import Burial
from pricing.processor.config import ProcessorConfig
from pricing.processor.intake import Intake
from pricing.processor.lanes import NewestLane, OrderedLane
from pricing.processor.price_events import price_event
from pricing.processor.processor import Outputs, ZoneProcessor
from pricing.projection import open_projection
from pricing.publishing import KafkaPublisher
from pricing.read_policy import ReadPolicy
from pricing.refresh import RefreshParts, ZoneRefresh, refreshing
from pricing.rungs import new_breakers, store_rungs
from pricing.settings import Settings
from pricing.state_clock import StateClock
from pricing.store import PostgresStates
from pricing.surge.city import CityStates, CitySurge
from pricing.surge.config import WindowConfig
from pricing.surge.policy import Policy
from pricing.surge.policy_file import load_policy
from pricing.write_path import DEAD_LETTERS, open_write_path
from pricing.zone_snapshot import SnapshotFile
from pricing.zones import Catalogue, ZoneLocator, load_catalogue
from streaming.config import KafkaConfig
from streaming.consumer import LogReader, ReaderTiming
from streaming.dead_letter import DeadLetters
from streaming.errors import BrokerError
from streaming.partitioning import partition_for
from streaming.price_feed import PriceFeed
from streaming.producer import EventProducer
from streaming.topics import SYSTEM_MODES, ZONE_PRICES, TopicClash, ensure_topics, full_name

_log = structlog.get_logger(__name__)

_PUBLISH_TIMEOUT_S = 2.0
_HISTORY_TICKS = 720
"""Of each city; an hour by default: what the history waits for while Postgres is away."""
_REWIND_MS = 25 * 60_000
_GROUP = "zone-processor"
_TOPICS_EVERY_S = 30.0
"""A topic that somebody deletes is made again after so long, at most."""
_BEATS_A_SESSION = 20
"""A member hears of a rebalance within one beat: half a second with the default session."""


def now_ms() -> int:
    """Wall clock, epoch ms."""
    return time.time_ns() // 1_000_000


def _elapsed_s() -> float:
    """Steady seconds; where the system can tell, with those that the machine slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def kafka_config(settings: Settings) -> KafkaConfig:
    """Kafka's part of the settings."""
    password = settings.kafka_sasl_password
    return KafkaConfig(
        bootstrap_servers=settings.kafka_bootstrap_servers,
        topic_prefix=settings.kafka_topic_prefix,
        partitions=settings.kafka_partitions,
        replication=settings.kafka_replication,
        idempotence=settings.kafka_idempotence,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ca_file=str(settings.kafka_ca_file) if settings.kafka_ca_file else None,
    )


def database_config(settings: Settings) -> DatabaseConfig:
    """Postgres' part of the settings."""
    replica = settings.database_replica_url
    return DatabaseConfig(
        url=settings.database_url.get_secret_value(),
        replica_url=replica.get_secret_value() if replica else None,
        timeout_ms=settings.database_timeout_ms,
        max_in_flight=settings.database_max_in_flight,
    )


def redis_config(settings: Settings) -> RedisConfig:
    """Redis' part of the settings."""
    return RedisConfig(
        url=settings.redis_url.get_secret_value(), timeout_ms=settings.redis_timeout_ms
    )


def window_config(settings: Settings) -> WindowConfig:
    """The settings that change prices; each is part of the policy's version."""
    return WindowConfig(
        tick_ms=settings.tick_s * 1000,
        grace_ms=settings.grace_ms,
        demand_window_ms=settings.demand_window_s * 1000,
        supply_window_ms=settings.supply_window_s * 1000,
        supply_hold_after_ms=settings.supply_hold_after_s * 1000,
        supply_unknown_after_ms=settings.supply_unknown_after_s * 1000,
    )


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
    return new_breakers(configs, observers=(metrics, *observers))


async def create_topics(config: KafkaConfig, *, timeout_s: float | None) -> list[TopicClash]:
    """Create the topics that are missing; returns what is not as it must be with the others.

    Raises `BrokerError` when Kafka could not be asked within `timeout_s`; None: never gives up.
    """
    attempts = stamina.retry_context(
        on=BrokerError, attempts=None, timeout=timeout_s, wait_initial=0.2, wait_max=5.0
    )
    clashes: list[TopicClash] = []
    async for attempt in attempts:
        with attempt:
            clashes = await ensure_topics(config, timeout_s=10.0)
    return clashes


def warn_of_clashes(clashes: Iterable[TopicClash]) -> None:
    """Name every topic that is not as it must be; only a person can decide what becomes of it."""
    for clash in clashes:
        _log.warning("a topic is not as it must be", clash=str(clash))


@asynccontextmanager
async def open_api(settings: Settings) -> AsyncIterator[tuple[FastAPI, Drain]]:
    """The HTTP application and the switch that its server drains by.

    Raises `CatalogueError`.
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
        cache = await stack.enter_async_context(RedisStates(redis_config(settings)))
        store = await stack.enter_async_context(PostgresStates(database_config(settings)))
        write = await stack.enter_async_context(
            open_write_path(settings, kafka, metrics.spool, wall_s=time.time)
        )
        await stack.enter_async_context(_topics_in_background(kafka))
        await stack.enter_async_context(
            probing(health, {"redis": cache.ping, "database": store.ping}, breakers=breakers)
        )
        local = LocalZones([zone.zone_id for zone in catalogue.zones])
        rungs = store_rungs(
            cache=cache,
            store=store,
            breakers=breakers,
            policy=lambda: policy.now.read,
            observers=observers,
            admits=ramps.admits,
            local=local,
        )
        stack.push_async_callback(rungs.close)
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
        gate = await stack.enter_async_context(
            open_gate(settings.keys_path, is_open=settings.auth == "open", wall_s=time.time)
        )
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


@asynccontextmanager
async def open_processor(
    settings: Settings,
) -> AsyncIterator[tuple[ZoneProcessor, ProcessorMetrics]]:
    """The zone processor, connected to its input and outputs, and its metrics.

    Raises `CatalogueError` and `PolicyError`.
    """
    catalogue = load_catalogue(settings.zones_file)
    window = window_config(settings)
    policy = load_policy(settings.policy_file, window)
    kafka = kafka_config(settings)
    metrics = ProcessorMetrics()
    config = ProcessorConfig(window=window, rewind_ms=_rewind_ms(window))
    async with AsyncExitStack() as stack:
        cache = await stack.enter_async_context(RedisStates(redis_config(settings)))
        store = await stack.enter_async_context(PostgresStates(database_config(settings)))
        producer = await stack.enter_async_context(EventProducer(kafka, now=time.time))
        await stack.enter_async_context(_topics_in_background(kafka))
        reader = await stack.enter_async_context(
            LogReader(
                kafka,
                [full_name(kafka, "ride-requests"), full_name(kafka, "driver-status")],
                group_id=f"{kafka.topic_prefix}{_GROUP}",
                instance_id=_instance_id(settings),
                rewind_ms=config.rewind_ms,
                now_ms=now_ms,
                timing=ReaderTiming(
                    session_timeout_ms=settings.kafka_session_timeout_ms,
                    heartbeat_interval_ms=settings.kafka_session_timeout_ms // _BEATS_A_SESSION,
                ),
            )
        )
        await stack.enter_async_context(
            open_projection(kafka, database_config(settings), now_ms=now_ms)
        )
        burial = Burial(DeadLetters(producer, now_ms=now_ms))
        processor = ZoneProcessor(
            config=config,
            reader=reader,
            intake=Intake(
                catalogue=catalogue,
                locator=ZoneLocator(catalogue),
                burial=burial,
                metrics=metrics,
            ),
            burial=burial,
            surges=lambda slot: _surges(slot, catalogue, policy, window, kafka.partitions),
            outputs=_outputs(
                cache,
                store,
                KafkaPublisher(producer, kafka, timeout_s=_PUBLISH_TIMEOUT_S),
                capacity=_HISTORY_TICKS * len(catalogue.city_ids),
            ),
            metrics=metrics,
            now_ms=now_ms,
        )
        yield processor, metrics


def _rewind_ms(window: WindowConfig) -> int:
    """How far a partition is read again: 20 min more than counts remember, 25 min at least."""
    return max(_REWIND_MS, window.memory_ms + 20 * 60_000)


def _instance_id(settings: Settings) -> str | None:
    """Under which name the processor joins its group; None: the broker gives it one."""
    if not settings.kafka_static_membership:
        return None
    return settings.processor_instance or socket.gethostname()


def _surges(
    slot: int, catalogue: Catalogue, policy: Policy, window: WindowConfig, partitions: int
) -> Mapping[str, CitySurge]:
    """Fresh state for the cities whose key leads to this partition."""
    return {
        city_id: CitySurge(city_id, catalogue.zones_of(city_id), policy, window)
        for city_id in catalogue.city_ids
        if partition_for(city_id.encode(), partitions) == slot
    }


def _outputs(
    cache: RedisStates, store: PostgresStates, publisher: KafkaPublisher, *, capacity: int
) -> Outputs:
    async def to_cache(city: CityStates) -> None:
        await cache.write(city.states)

    async def to_store(city: CityStates) -> None:
        await store.write_tick(
            CityTick(city_id=city.city_id, tick_ms=city.tick_ms, snapshots=city.changed)
        )

    async def to_topic(city: CityStates) -> None:
        if city.changed:
            await publisher.publish("zone-prices", [price_event(state) for state in city.changed])

    return Outputs(
        history=[OrderedLane("database", to_store, capacity=capacity)],
        news=[
            NewestLane("redis", to_cache),
            OrderedLane("kafka", to_topic, capacity=capacity),
        ],
    )


@asynccontextmanager
async def _topics_in_background(config: KafkaConfig) -> AsyncIterator[None]:
    """While open, see to it that the topics are there, as soon as Kafka is."""
    task = asyncio.create_task(_keep_topics(config), name="topics")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep_topics(config: KafkaConfig) -> None:
    told: set[TopicClash] = set()
    while True:
        try:
            clashes = set(await create_topics(config, timeout_s=None))
            warn_of_clashes(clashes - told)
            told = clashes
        except Exception:  # noqa: BLE001 - a fault here costs missing topics, no process
            _log.exception("topics cannot be seen to")
        await asyncio.sleep(_TOPICS_EVERY_S)
