"""Reads whole topics, from the first record to what is the last one now."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from streaming.config import KafkaConfig
from streaming.events.codec import decode
from streaming.topics import full_name
from tests.support.surge_model import Beat, Record, Request

INPUTS = ("ride-requests", "driver-status")


async def records_by_city(kafka_config: KafkaConfig) -> dict[str, list[Record]]:
    """Every record of the input topics, by city, in the words of the model."""
    records: dict[str, list[Record]] = defaultdict(list)
    for record in await whole_topics(kafka_config, INPUTS):
        decoded = decode(record)
        data, event = decoded.payload, decoded.event
        shared = {
            "event_id": event.id,
            "zone_id": data.zone_id,
            "occurred_ms": event.time_ms,
            "arrived_ms": record.timestamp,
        }
        if record.topic.endswith("ride-requests"):
            records[data.city_id].append(Request(request_id=data.request_id, **shared))
        else:
            beat = Beat(driver_id=data.driver_id, available=data.available, **shared)
            records[data.city_id].append(beat)
    return records


async def whole_topics(
    kafka_config: KafkaConfig, topics: Sequence[str]
) -> list[ConsumerRecord[bytes, bytes]]:
    """Every record that the topics hold now."""
    # Without a group nothing is kept, so that reading starts where this says.
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka_config.bootstrap_servers, auto_offset_reset="earliest"
    )
    async with asyncio.timeout(60), consumer:
        names = [full_name(kafka_config, topic) for topic in topics]
        parts = [TopicPartition(n, p) for n in names for p in range(kafka_config.partitions)]
        consumer.assign(parts)
        ends = await consumer.end_offsets(parts)
        found = []
        while any([await consumer.position(part) < end for part, end in ends.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                found.extend(batch)
        return found
