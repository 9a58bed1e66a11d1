"""Builds the write path: spool, pump, Kafka, dead letters, answers by key.

Opening touches Kafka only in the background. A disk that does not work is no reason not to start
either: prices go on, and events are refused.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import structlog

from fallback.background import in_background
from fallback.clock import Wall
from fallback.errors import SpoolError
from fallback.pump import Pump, PumpConfig
from fallback.pump.adoption import adopting, claimed_spool
from fallback.pump.dead_letters import DeadLetterBox
from fallback.spool import Spool, SpoolConfig
from fallback.spool.writing.quota import quota_for
from pricing.clocks import now_ms
from pricing.metrics.spool import SpoolMetrics
from pricing.ports import Publisher
from pricing.wiring.settings import Settings
from pricing.writing.dead_letters import DeadLetterRecorder
from pricing.writing.idempotency import IdempotencyStore, IdempotentAnswers
from pricing.writing.idempotency_journal import opened_journal
from pricing.writing.kafka_sink import KafkaSink
from pricing.writing.publisher import NoPublisher, SpoolPublisher
from streaming.config import KafkaConfig
from streaming.producing.batch_sender import BatchSender

_log = structlog.get_logger(__name__)

SPOOLS = "spool"
ANSWERS = "answers"
DEAD_LETTERS = "dead-letters"
DRAIN_S = 1.5
"""How long a process that ends still sends; the rest waits on the disk for the next one."""
ENTRY_BYTES = 1_040_000
"""An event of the greatest size with its key and headers."""
_CLOSE_S = 2.0
_LETTERS_EVERY_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What stands behind the publisher while the disk works."""

    spool: Spool
    pump: Pump
    sender: BatchSender
    dead_letters: DeadLetterRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePath:
    """What the application sees of it."""

    publisher: Publisher
    answers: IdempotentAnswers
    delivery: Delivery | None
    """None: the disk does not work, and every event is refused."""


@asynccontextmanager
async def open_write_path(
    settings: Settings, kafka: KafkaConfig, metrics: SpoolMetrics, *, wall_s: Wall
) -> AsyncIterator[WritePath]:
    """The publisher and everything behind it; leaving takes some seconds at most."""
    home = settings.state_dir / SPOOLS
    async with AsyncExitStack() as stack:
        try:
            config = spool_config(settings)
            spool = await stack.enter_async_context(
                claimed_spool(home, config, observers=(metrics,))
            )
        except (SpoolError, OSError) as error:
            _log.error("spool not opened", state_dir=str(home), error=str(error))
            yield WritePath(publisher=NoPublisher(), answers=IdempotencyStore(), delivery=None)
            return
        path = settings.state_dir / ANSWERS / f"{spool.directory.name}.db"
        journal, known = await stack.enter_async_context(opened_journal(path))
        answers = IdempotencyStore(now_s=wall_s, journal=journal, known=known)
        delivery = await _deliver(stack, settings, kafka, spool, metrics, wall_s)
        publisher = SpoolPublisher(
            spool,
            delivery.pump.delivery_waiters,
            kafka,
            wait_s=settings.publish_wait_ms / 1000,
            on_append=metrics.appended,
        )
        yield WritePath(publisher=publisher, answers=answers, delivery=delivery)


async def _deliver(
    stack: AsyncExitStack,
    settings: Settings,
    kafka: KafkaConfig,
    spool: Spool,
    metrics: SpoolMetrics,
    wall_s: Wall,
) -> Delivery:
    sender = await stack.enter_async_context(BatchSender(kafka, now=wall_s))
    sink = KafkaSink(sender)
    box = DeadLetterBox(settings.state_dir / DEAD_LETTERS, now_ms=now_ms)
    recorder = DeadLetterRecorder(box, spool, now_ms=now_ms)
    config = PumpConfig(records_per_s=settings.replay_events_per_s)
    pump = Pump(spool, sink, dead_letter=recorder.dead_letter, config=config, observers=(metrics,))
    await stack.enter_async_context(pump)
    await stack.enter_async_context(in_background("dead letters", recorder.run(metrics.put_back)))

    def pump_for(orphan: Spool) -> Pump:
        return Pump(
            orphan,
            sink,
            dead_letter=recorder.dead_letter,
            config=config,
            observers=(metrics,),
            pace=pump.pace,
        )

    home = settings.state_dir / SPOOLS
    await stack.enter_async_context(
        adopting(home, spool.directory, spool_config(settings), pump_for)
    )
    delivery = Delivery(spool=spool, pump=pump, sender=sender, dead_letters=recorder)
    metrics.status.watch(spool.stats, pump.stats, sender.renewals)
    await stack.enter_async_context(in_background("dead-letter metrics", _show(recorder, metrics)))
    stack.push_async_callback(pump.drain, DRAIN_S)
    return delivery


async def _show(recorder: DeadLetterRecorder, metrics: SpoolMetrics) -> None:
    """Keep the count of dead letters in the metrics."""
    while True:
        with suppress(OSError):
            metrics.show_letters(await recorder.stats())
        await asyncio.sleep(_LETTERS_EVERY_S)


@asynccontextmanager
async def replaying(
    settings: Settings, kafka: KafkaConfig, *, wall_s: Wall
) -> AsyncIterator[Callable[[Spool], Pump]]:
    """Makes pumps for spools that no process holds; for a command."""
    async with BatchSender(kafka, now=wall_s) as sender:
        sink = KafkaSink(sender)
        box = DeadLetterBox(settings.state_dir / DEAD_LETTERS, now_ms=now_ms)

        def pump_for(spool: Spool) -> Pump:
            recorder = DeadLetterRecorder(box, spool, now_ms=now_ms)
            config = PumpConfig(records_per_s=settings.replay_events_per_s)
            return Pump(spool, sink, dead_letter=recorder.dead_letter, config=config)

        yield pump_for


def spool_config(settings: Settings) -> SpoolConfig:
    """The spool's part of the settings. Raises `OSError` for a directory that is not there."""
    quota = settings.spool_quota_bytes
    if quota is None:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        quota = quota_for(shutil.disk_usage(settings.state_dir).free)
    return SpoolConfig(
        quota_bytes=quota,
        free_floor_bytes=settings.spool_free_floor_bytes,
        entry_bytes=ENTRY_BYTES,
        close_timeout_s=_CLOSE_S,
    )
