"""Events and records for tests of the log, and a reader's news collected."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from streaming.config import KafkaConfig
from streaming.consuming.consumer import ConsumedRecord, LogReader, Polled, ReaderTiming
from streaming.events.codec import WireRecord, encode
from streaming.events.event_types import RIDE_REQUEST, Event, new_event_id
from streaming.memory import MemoryLogReader
from streaming.producing.batch_sender import BatchSender
from streaming.producing.producer import EventProducer

OCCURRED_MS = 1_767_323_045_678
QUICK = ReaderTiming(session_timeout_ms=6_000, heartbeat_interval_ms=300)
"""Short, but no shorter than a default broker allows."""
HOUR_MS = 3_600_000


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def event_producer(config: KafkaConfig, **limits: int) -> AsyncIterator[EventProducer]:
    """A producer with a sender of its own; `limits` are those of `EventProducer`."""
    async with (
        BatchSender(config, now=time.time) as sender,
        EventProducer(sender, partitions=config.partitions, **limits) as producer,
    ):
        yield producer


def ride_request(number: int = 0, *, key: str = "nyc", **other: object) -> Event:
    """A ride request; `number` is its request id, `other` are further payload fields."""
    return Event(
        id=new_event_id(),
        type=RIDE_REQUEST,
        source="/tests",
        time_ms=OCCURRED_MS,
        key=key,
        subject="zone-1",
        data={
            "request_id": str(number),
            "city_id": key,
            "zone_id": "zone-1",
            "occurred_at": "2026-01-02T03:04:05.678Z",
            **other,
        },
    )


def ride_requests(numbers: Iterable[int], *, keys: int = 12) -> list[Event]:
    """Ride requests spread over `keys` keys, and so over the partitions."""
    return [ride_request(number, key=f"city-{number % keys}") for number in numbers]


def consumed(
    record: WireRecord | None = None,
    *,
    topic: str = "ride-requests",
    partition: int = 0,
    offset: int = 0,
) -> ConsumedRecord:
    """A record as a reader hands it out."""
    record = encode(ride_request()) if record is None else record
    return ConsumedRecord(
        topic, partition, offset, OCCURRED_MS, record.key, record.value, record.headers
    )


@dataclass
class Reading:
    """Polls a reader and keeps what it said; fails where it breaks its promises."""

    reader: LogReader | MemoryLogReader
    open: set[int] = field(default_factory=set)
    records: list[ConsumedRecord] = field(default_factory=list)
    """Of the slots that are open, since they were opened."""
    openings: int = 0

    async def poll(self, timeout_s: float = 0.5) -> Polled:
        polled = await self.reader.poll(timeout_s)
        assert polled.lost <= self.open
        self.open -= polled.lost
        self.records = [record for record in self.records if record.partition in self.open]
        assert not polled.opened & self.open
        self.open |= polled.opened
        self.openings += len(polled.opened)
        for record in polled.records:
            assert record.partition in self.open
            self._check_order(record)
        self.records += polled.records
        return polled

    def _check_order(self, record: ConsumedRecord) -> None:
        before = [r.offset for r in self.records[-200:] if place(r) == place(record)]
        assert not before or before[-1] < record.offset

    async def until_open(self, slots: int = 6, within_s: float = 60) -> None:
        async with asyncio.timeout(within_s):
            while len(self.open) < slots:
                await self.poll()

    async def until_records(self, count: int, within_s: float = 60) -> list[ConsumedRecord]:
        async with asyncio.timeout(within_s):
            while len(self.records) < count:
                await self.poll()
        return self.records


def place(record: ConsumedRecord) -> tuple[str, int]:
    return record.topic, record.partition
