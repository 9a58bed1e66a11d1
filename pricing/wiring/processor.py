"""Builds the processor out of its parts, and closes them again: its half of the wiring."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from pricing.clocks import now_ms
from pricing.metrics.processor import ProcessorMetrics
from pricing.ports import CityTick
from pricing.processor.config import ProcessorConfig
from pricing.processor.dead_letter_queue import DeadLetterQueue
from pricing.processor.intake import Intake
from pricing.processor.output_queues import NewestQueue, OrderedQueue
from pricing.processor.price_events import price_event
from pricing.processor.processor import Outputs, ZoneProcessor
from pricing.processor.projection import open_projection
from pricing.stores.postgres_states import PostgresStates
from pricing.stores.redis_states import RedisStates
from pricing.surge.city import CityStates, CitySurge
from pricing.surge.policy.file import load_policy
from pricing.surge.policy.policy import Policy
from pricing.surge.policy.windows import WindowConfig
from pricing.wiring.configs import database_config, kafka_config, redis_config, window_config
from pricing.wiring.settings import Settings
from pricing.writing.publisher import KafkaPublisher
from pricing.writing.topics import topics_in_background
from pricing.zones import Catalogue, ZoneLocator, load_catalogue
from streaming.consuming.consumer import LogReader, ReaderTiming
from streaming.dead_letter import DeadLetters
from streaming.partitioning import partition_for
from streaming.producing.producer import EventProducer
from streaming.topics import full_name

_PUBLISH_TIMEOUT_S = 2.0
_HISTORY_TICKS = 720
"""Of each city; an hour by default: what the history waits for while Postgres is away."""
_REWIND_MS = 25 * 60_000
_GROUP = "zone-processor"
_BEATS_A_SESSION = 20
"""A member hears of a rebalance within one beat: half a second with the default session."""


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
        await stack.enter_async_context(topics_in_background(kafka))
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
        burial = DeadLetterQueue(DeadLetters(producer, now_ms=now_ms))
        processor = ZoneProcessor(
            config=config,
            reader=reader,
            intake=Intake(
                catalogue=catalogue,
                locator=ZoneLocator(catalogue),
                dead_letters=burial,
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
        history=[OrderedQueue("database", to_store, capacity=capacity)],
        news=[
            NewestQueue("redis", to_cache),
            OrderedQueue("kafka", to_topic, capacity=capacity),
        ],
    )
