"""The write path against a broker, without the HTTP API: spool, pump, sender, publisher."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from fallback.pump import Pump, PumpConfig
from fallback.pump.dead_letters import DeadLetterBox
from fallback.spool import Spool, SpoolConfig
from pricing.writing.dead_letters import DeadLetterRecorder
from pricing.writing.kafka_sink import KafkaSink
from pricing.writing.publisher import SpoolPublisher
from streaming.config import KafkaConfig
from streaming.consuming.records import ConsumedRecord
from streaming.events.codec import decode
from streaming.producing.batch_sender import BatchSender

MIB = 1 << 20
SMALL = SpoolConfig(segment_bytes=2 * MIB, quota_bytes=512 * MIB, free_floor_bytes=0)
QUICK = PumpConfig(alarm_s=2.0, diagnose_every_s=0.5, parked_retry_s=0.3, parked_retry_most_s=0.6)


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Pumped:
    """Everything open."""

    config: KafkaConfig
    spool: Spool
    pump: Pump
    sender: BatchSender
    publisher: SpoolPublisher
    box: DeadLetterBox

    def publishing(self, *, wait_s: float) -> SpoolPublisher:
        """A publisher into the same spool that waits for Kafka as long as this."""
        return SpoolPublisher(self.spool, self.pump.delivery_waiters, self.config, wait_s=wait_s)

    @property
    def outage_s(self) -> float:
        """How long nothing has got through."""
        return self.pump.gate.outage_s(asyncio.get_running_loop().time())

    @property
    def renewals(self) -> int:
        return sum(self.sender.renewals.values())


@asynccontextmanager
async def pumped(
    config: KafkaConfig,
    directory: Path,
    *,
    pump_config: PumpConfig = QUICK,
    spool_config: SpoolConfig = SMALL,
    wait_s: float = 0.05,
) -> AsyncIterator[Pumped]:
    async with (
        Spool.open(directory / "spool", spool_config) as spool,
        BatchSender(config, now=time.time) as sender,
    ):
        box = DeadLetterBox(directory / "dead-letters", now_ms=wall_ms)
        recorder = DeadLetterRecorder(box, spool, now_ms=wall_ms)
        sink = KafkaSink(sender)
        async with Pump(spool, sink, dead_letter=recorder.dead_letter, config=pump_config) as pump:
            publisher = SpoolPublisher(spool, pump.delivery_waiters, config, wait_s=wait_s)
            yield Pumped(config, spool, pump, sender, publisher, box)


async def read_topic(config: KafkaConfig, topic: str) -> list[ConsumedRecord]:
    """Everything in a topic now, partition by partition, in the order of the log."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap_servers, auto_offset_reset="earliest"
    )
    await consumer.start()
    found: list[ConsumedRecord] = []
    try:
        numbers = sorted(consumer.partitions_for_topic(topic) or await _partitions(consumer, topic))
        places = [TopicPartition(topic, number) for number in numbers]
        consumer.assign(places)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                found += [
                    ConsumedRecord(
                        topic,
                        place.partition,
                        record.offset,
                        record.timestamp,
                        record.key,
                        record.value,
                        tuple(record.headers),
                    )
                    for record in records
                ]
    finally:
        await consumer.stop()
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.set_topics([topic])
    return set(consumer.partitions_for_topic(topic) or ())


def ids_of(records: list[ConsumedRecord]) -> list[str]:
    """The events' ids, in the order given."""
    return [decode(record).event.id for record in records]


@asynccontextmanager
async def admin_of(config: KafkaConfig) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def make_topic(config: KafkaConfig, name: str, partitions: int = 6, **settings: str) -> None:
    """Create a topic, and return once the broker tells of it: a busy one takes its time."""
    async with admin_of(config) as admin:
        await admin.create_topics(
            [
                NewTopic(
                    name,
                    partitions,
                    1,
                    topic_configs={key.replace("_", "."): text for key, text in settings.items()},
                )
            ]
        )

        async def is_there() -> bool:
            (described,) = await admin.describe_topics([name])
            return not described["error_code"] and len(described["partitions"]) == partitions

        async with asyncio.timeout(20):
            while not await is_there():
                await asyncio.sleep(0.05)
