"""Builds the processor out of its parts, and closes them again: its half of the wiring."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from fallback.background import in_background
from pricing.clocks import now_ms
from pricing.metrics.processor import ProcessorMetrics, new_processor_metrics
from pricing.ports import CityTick, Publisher, StateCache, StateStore
from pricing.processor.config import ProcessorConfig
from pricing.processor.dead_letter_queue import DeadLetterQueue
from pricing.processor.intake import Intake
from pricing.processor.output_queues import NewestQueue, OrderedQueue, Outputs
from pricing.processor.price_events import price_event
from pricing.processor.processor import ZoneProcessor
from pricing.processor.projection import OperationsProjection
from pricing.stores.operations import PostgresOperations
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
from streaming.config import KafkaConfig
from streaming.consuming.consumer import LogReader
from streaming.consuming.records import ReaderTiming
from streaming.dead_letter import DeadLetters
from streaming.partitioning import partition_for
from streaming.producing.batch_sender import BatchSender
from streaming.producing.producer import EventProducer
from streaming.topics import AUDIT, INPUTS, SYSTEM_MODES, ZONE_PRICES, full_name

_PUBLISH_TIMEOUT_S = 2.0
_HISTORY_TICKS = 720
"""Of each city; an hour by default: what the history waits for while Postgres is away."""
_LEAST_REWIND_MS = 25 * 60_000
_REWIND_BEYOND_MEMORY_MS = 20 * 60_000
_GROUP = "zone-processor"
_BEATS_A_SESSION = 20
"""A member hears of a rebalance within one beat: half a second with the default session."""
_PROJECTION_GROUP = "operations-projection"
_PROJECTION_REWIND_MS = 24 * 3_600_000
"""How far a partition is read again after a restart: longer than Postgres may be away and the
process with it, and harmless, for what is there already stays as it is."""
_PROJECTION_IN_FLIGHT = 2


@asynccontextmanager
async def open_processor(
    settings: Settings,
) -> AsyncIterator[tuple[ZoneProcessor, ProcessorMetrics]]:
    """The zone processor, connected to its input and outputs, and its metrics.

    While it is open, the projection runs beside it. Opening reaches no server.

    Raises:
        CatalogueError: the zones file cannot be used.
        PolicyError: the policy file cannot be used.
    """
    catalogue = load_catalogue(settings.zones_file)
    window = window_config(settings)
    policy = load_policy(settings.policy_file, window)
    metrics = new_processor_metrics()
    kafka = kafka_config(settings)
    async with AsyncExitStack() as stack:
        outputs, dead_letters = await _open_outputs(stack, settings, len(catalogue.city_ids))
        await stack.enter_async_context(topics_in_background(kafka))
        config = ProcessorConfig(window=window, rewind_ms=_rewind_ms(window))
        reader = await stack.enter_async_context(_input_reader(settings, config.rewind_ms))
        await stack.enter_async_context(_projection(settings))
        yield (
            ZoneProcessor(
                config=config,
                reader=reader,
                intake=_intake(catalogue, dead_letters, metrics),
                dead_letters=dead_letters,
                surges=lambda slot: _surges(slot, catalogue, policy, window, kafka.partitions),
                outputs=outputs,
                metrics=metrics,
                now_ms=now_ms,
            ),
            metrics,
        )


async def _open_outputs(
    stack: AsyncExitStack, settings: Settings, cities: int
) -> tuple[Outputs, DeadLetterQueue]:
    """Where ticks go, and where unreadable records go; `stack` closes what they write to."""
    kafka = kafka_config(settings)
    cache = await stack.enter_async_context(RedisStates(redis_config(settings)))
    store = await stack.enter_async_context(PostgresStates(database_config(settings)))
    sender = await stack.enter_async_context(BatchSender(kafka, now=time.time))
    producer = await stack.enter_async_context(EventProducer(sender, partitions=kafka.partitions))
    publisher = KafkaPublisher(producer, kafka, timeout_s=_PUBLISH_TIMEOUT_S)
    outputs = _outputs(cache, store, publisher, capacity=_HISTORY_TICKS * cities)
    return outputs, DeadLetterQueue(DeadLetters(producer, now_ms=now_ms))


def _outputs(
    cache: StateCache, store: StateStore, publisher: Publisher, *, capacity: int
) -> Outputs:
    async def to_cache(city: CityStates) -> None:
        await cache.write(city.states)

    async def to_store(city: CityStates) -> None:
        await store.write_tick(
            CityTick(city_id=city.city_id, tick_ms=city.tick_ms, snapshots=city.changed)
        )

    async def to_topic(city: CityStates) -> None:
        if city.changed:
            await publisher.publish(ZONE_PRICES, [price_event(state) for state in city.changed])

    return Outputs(
        history=[OrderedQueue("database", to_store, capacity=capacity)],
        news=[
            NewestQueue("redis", to_cache),
            OrderedQueue("kafka", to_topic, capacity=capacity),
        ],
    )


def _input_reader(settings: Settings, rewind_ms: int) -> LogReader:
    kafka = kafka_config(settings)
    session_ms = settings.kafka_session_timeout_ms
    return LogReader(
        kafka,
        [full_name(kafka, topic) for topic in INPUTS],
        group_id=f"{kafka.topic_prefix}{_GROUP}",
        instance_id=_instance_id(settings),
        rewind_ms=rewind_ms,
        now_ms=now_ms,
        timing=ReaderTiming(
            session_timeout_ms=session_ms, heartbeat_interval_ms=session_ms // _BEATS_A_SESSION
        ),
    )


def _rewind_ms(window: WindowConfig) -> int:
    """How far a partition is read again: 20 min more than counts remember, 25 min at least."""
    return max(_LEAST_REWIND_MS, window.memory_ms + _REWIND_BEYOND_MEMORY_MS)


def _instance_id(settings: Settings) -> str | None:
    """Under which name the processor joins its group; None: the broker gives it one."""
    if not settings.kafka_static_membership:
        return None
    return settings.processor_instance or socket.gethostname()


def _intake(
    catalogue: Catalogue, dead_letters: DeadLetterQueue, metrics: ProcessorMetrics
) -> Intake:
    return Intake(
        catalogue=catalogue,
        locator=ZoneLocator(catalogue),
        dead_letters=dead_letters,
        metrics=metrics,
    )


def _surges(
    slot: int, catalogue: Catalogue, policy: Policy, window: WindowConfig, partitions: int
) -> Mapping[str, CitySurge]:
    """Fresh state for the cities whose key leads to this partition."""
    return {
        city_id: CitySurge(city_id, catalogue.zones_of(city_id), policy, window)
        for city_id in catalogue.city_ids
        if partition_for(city_id.encode(), partitions) == slot
    }


@asynccontextmanager
async def _projection(settings: Settings) -> AsyncIterator[None]:
    """While open, mode events and the audit are carried into Postgres."""
    kafka = kafka_config(settings)
    database = replace(database_config(settings), max_in_flight=_PROJECTION_IN_FLIGHT)
    async with (
        PostgresOperations(database) as store,
        _projection_reader(kafka) as reader,
        in_background("projection", OperationsProjection(reader, store).run()),
    ):
        yield


def _projection_reader(kafka: KafkaConfig) -> LogReader:
    return LogReader(
        kafka,
        [full_name(kafka, topic) for topic in (SYSTEM_MODES, AUDIT)],
        group_id=f"{kafka.topic_prefix}{_PROJECTION_GROUP}",
        rewind_ms=_PROJECTION_REWIND_MS,
        now_ms=now_ms,
    )
