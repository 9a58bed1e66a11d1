"""A broker, a spool before it and what stands between them, for benchmarks of the replay."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import structlog
import uvloop
from aiokafka import AIOKafkaProducer

from benchmarks.benchmark import Unavailable
from benchmarks.sample_events import ride_requests
from fallback.pump import Pump, PumpConfig
from fallback.pump.sink import Poison
from fallback.spool import Durability, Entry, Record, Spool, SpoolConfig
from pricing.embedded import ApacheKafka
from pricing.embedded.kafka_home import missing_tools
from pricing.writing.kafka_sink import KafkaSink
from pricing.writing.spool_lanes import lane_of
from streaming.config import KafkaConfig
from streaming.events.codec import WireRecord, encode
from streaming.events.packing import pack
from streaming.producing.batch_sender import BatchSender
from streaming.topics import RIDE_REQUESTS, ensure_topics, full_name

T = TypeVar("T")
SAMPLES = 600
_AT_ONCE = 600
_BATCH_BYTES = 1_000_000
_DRAINED_S = 60.0


class KafkaSite:
    """Runs on an event loop of its own, of the kind that the service has."""

    def __init__(self) -> None:
        """Start everything. Raises `Unavailable` without Java or Maven."""
        if missing := missing_tools():
            raise Unavailable(f"{' and '.join(missing)} not found")
        quiet = structlog.make_filtering_bound_logger(logging.ERROR)
        structlog.configure(wrapper_class=quiet)
        self.records: list[WireRecord] = [encode(event) for event in ride_requests(SAMPLES)]
        self._packed = [pack(record) for record in self.records]
        self._stack = AsyncExitStack()
        home = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        home.chmod(0o711)  # the broker runs as another user
        self._loop = uvloop.new_event_loop()
        self.run(self._open(home))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it on the loop."""
        return self._loop.run_until_complete(work)

    def close(self) -> None:
        """End the broker and everything else."""
        self.run(self._stack.aclose())
        self._loop.close()
        structlog.reset_defaults()

    async def fill(self, count: int) -> None:
        """Bring the spool to so many records, all of them on the disk alone."""
        lanes = [lane_of(self.topic, number) for number in range(self.config.partitions)]
        entries = [
            Entry(lanes[number % len(lanes)], body) for number, body in enumerate(self._packed)
        ]
        missing = count - self.spool.stats().records
        while missing > 0:
            some = entries[: min(missing, _AT_ONCE)]
            await self.spool.append(some, durability=Durability.RELAXED, timeout_s=10)
            missing -= len(some)
        found = 0
        async for lane in self.spool.lanes():
            lane.release()
            found += 1
            if found == len(lanes):
                return

    def pump(self, config: PumpConfig) -> Pump:
        """A pump from the spool to the broker."""
        return Pump(self.spool, self._sink, dead_letter=_dead_letter, config=config)

    async def drain(self, config: PumpConfig) -> None:
        """Deliver everything."""
        async with self.pump(config) as pump:
            assert await pump.drain(_DRAINED_S)

    def batches(self, partition: int, count: int, size: int) -> Sequence[Any]:
        """Batches of the driver's own for one partition, of so many records each, ready to go."""
        now_ms = int(time.time() * 1000)
        made = []
        for first in range(0, count, size):
            batch = self.producer.create_batch()
            for number in range(first, min(first + size, count)):
                record = self.records[(number * self.config.partitions + partition) % SAMPLES]
                batch.append(
                    timestamp=now_ms,
                    key=record.key,
                    value=record.value,
                    headers=list(record.headers),
                )
            batch.close()
            made.append(batch)
        return made

    async def _open(self, home: Path) -> None:
        enter = self._stack.enter_async_context
        broker = ApacheKafka(home / "kafka")
        self._stack.push_async_callback(broker.kill)
        await broker.start()
        self.config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers)
        self.topic = full_name(self.config, RIDE_REQUESTS)
        await ensure_topics(self.config, timeout_s=30)
        self.producer = AIOKafkaProducer(
            bootstrap_servers=broker.bootstrap_servers,
            acks="all",
            enable_idempotence=True,
            max_batch_size=_BATCH_BYTES,
        )
        await self.producer.start()
        self._stack.push_async_callback(self.producer.stop)
        self._sink = KafkaSink(await enter(BatchSender(self.config, now=time.time)))
        self.spool = await enter(Spool.open(home / "spool", SpoolConfig(free_floor_bytes=0)))


async def send_all(producer: AIOKafkaProducer, topic: str, lanes: Sequence[Sequence[Any]]) -> None:
    """Send each partition's batches, one of it under way at a time, as the pump does."""

    async def send(partition: int, batches: Sequence[Any]) -> None:
        for batch in batches:
            await (await producer.send_batch(batch, topic, partition=partition))

    await asyncio.gather(*(send(partition, lane) for partition, lane in enumerate(lanes)))


async def _dead_letter(record: Record, failure: Poison, attempts: int) -> NoReturn:
    raise AssertionError(f"record {record.seq} refused after {attempts} attempts: {failure}")
