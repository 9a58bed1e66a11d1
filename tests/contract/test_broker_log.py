"""What a producer and a reader promise together, on Kafka and on its in-memory twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

import pytest

from streaming.config import KafkaConfig
from streaming.consuming.consumer import Committed, LogReader
from streaming.errors import InstanceFenced, InvalidMessage, MembershipLost
from streaming.events.codec import WireRecord, decode
from streaming.events.event_types import Event
from streaming.memory import MemoryBroker, MemoryLogReader, MemoryProducer
from streaming.partitioning import partition_for
from streaming.producing.producer import EventProducer
from streaming.topics import INPUTS, ensure_topics, full_name
from tests.support.kafka_log import (
    HOUR_MS,
    QUICK,
    Reading,
    event_producer,
    ride_request,
    ride_requests,
    wall_ms,
)
from tests.support.waiting import until

Reader = LogReader | MemoryLogReader
SLOT = partition_for(b"nyc", 6)


@dataclass
class Log:
    """A broker with the input topics, one producer, and readers as the test opens them."""

    config: KafkaConfig
    broker: MemoryBroker | None
    producer: EventProducer | MemoryProducer
    stack: AsyncExitStack

    @property
    def topics(self) -> list[str]:
        return [full_name(self.config, topic) for topic in INPUTS]

    def reader(
        self, instance_id: str | None = None, *, since_ms: int | None = None
    ) -> AbstractAsyncContextManager[Reader]:
        """A member of the test's group that reads from an hour ago, or from `since_ms`."""
        now_ms = wall_ms if since_ms is None else (lambda: since_ms + HOUR_MS)
        group = f"{self.config.topic_prefix}group"
        if self.broker is not None:
            return MemoryLogReader(
                self.broker,
                self.topics,
                group,
                instance_id,
                rewind_ms=HOUR_MS,
                now_ms=now_ms,
                timing=QUICK,
            )
        return LogReader(
            self.config,
            self.topics,
            group,
            instance_id,
            rewind_ms=HOUR_MS,
            now_ms=now_ms,
            timing=QUICK,
        )

    async def reading(
        self, instance_id: str | None = None, *, since_ms: int | None = None
    ) -> Reading:
        """A reader that has all slots open; the test's end closes it."""
        reader = self.reader(instance_id, since_ms=since_ms)
        reading = Reading(await self.stack.enter_async_context(reader))
        await reading.until_open()
        return reading

    async def send(self, *events: Event) -> None:
        await self.producer.send(self.topics[0], events, timeout_s=10)

    async def later_instant(self) -> int:
        """Epoch ms: after everything that was appended, before everything to come."""
        instant = wall_ms() + 2
        await until(lambda: wall_ms() > instant + 1, "the clock goes on")
        return instant


@pytest.fixture(params=["memory", "kafka"])
def real_config(request) -> KafkaConfig | None:
    return request.getfixturevalue("kafka_config") if request.param == "kafka" else None


@pytest.fixture
async def log(real_config, topic_prefix) -> AsyncIterator[Log]:
    async with AsyncExitStack() as stack:
        if real_config is None:
            broker = MemoryBroker(now_ms=wall_ms)
            config = KafkaConfig(topic_prefix=topic_prefix)
            yield Log(config, broker, MemoryProducer(broker), stack)
            return
        await ensure_topics(real_config, timeout_s=20)
        producer = await stack.enter_async_context(event_producer(real_config))
        yield Log(real_config, None, producer, stack)


async def test_sent_events_are_read_as_they_were(log):
    event = ride_request(1)
    await log.send(event)
    reading = await log.reading()
    (record,) = await reading.until_records(1)
    assert decode(record).event == event
    assert (record.topic, record.partition, record.offset) == (log.topics[0], SLOT, 0)
    assert abs(record.timestamp_ms - wall_ms()) < 60_000


async def test_order_of_a_key_is_that_of_sending(log):
    reading = await log.reading()
    for start in range(0, 60, 20):
        await log.send(*ride_requests(range(start, start + 20), keys=1))
    records = await reading.until_records(60)
    numbers = [int(decode(record).event.data["request_id"]) for record in records]
    assert numbers == list(range(60))


async def test_nothing_to_send_is_sent_at_once(log):
    await log.send()


async def test_event_that_cannot_be_written_holds_back_the_others(log):
    with pytest.raises(InvalidMessage):
        await log.send(ride_request(1), ride_request(2, key="a\0b"))
    reading = await log.reading()
    await reading.poll(0.2)
    assert reading.records == []


async def test_record_can_be_sent_to_a_partition_of_its_own(log):
    record = WireRecord(None, b"raw", (("name", b"\xff"),))
    await log.producer.send_records(log.topics[1], [record], timeout_s=10, partition=5)
    reading = await log.reading()
    (read,) = await reading.until_records(1)
    assert (read.partition, read.key, read.value, read.headers) == (5, None, b"raw", record.headers)


async def test_record_without_key_and_partition_is_refused(log):
    with pytest.raises(ValueError, match="needs a partition"):
        await log.producer.send_records(log.topics[1], [WireRecord(None, b"x")], timeout_s=10)


async def test_slots_open_before_their_records_come(log):
    await log.send(*ride_requests(range(12)))
    reading = await log.reading()  # checks each poll
    await reading.until_records(12)
    assert reading.open == set(range(6))


async def test_records_from_before_the_rewind_are_not_handed_out(log):
    await log.send(*ride_requests(range(24)))
    instant = await log.later_instant()
    await log.send(*ride_requests(range(24, 36)))
    reading = await log.reading(since_ms=instant)
    records = await reading.until_records(12)
    assert {int(decode(record).event.data["request_id"]) for record in records} == {*range(24, 36)}


async def test_reader_with_nothing_to_rewind_starts_at_the_end(log):
    await log.send(*ride_requests(range(24)))
    reading = await log.reading(since_ms=await log.later_instant())
    for slot in range(6):
        assert reading.reader.positions(slot) == await reading.reader.end_offsets(slot)
    await log.send(ride_request(99))
    (record,) = await reading.until_records(1)
    assert decode(record).event.data["request_id"] == "99"


async def test_end_counts_every_record_of_a_batch(log):
    await log.send(*ride_requests(range(30), keys=1))
    reading = await log.reading()
    slot = partition_for(b"city-0", 6)
    assert await reading.reader.end_offsets(slot) == {log.topics[0]: 30, log.topics[1]: 0}


async def test_position_reaches_the_end_once_all_was_handed_out(log):
    await log.send(*ride_requests(range(30)))
    reading = await log.reading()
    await reading.until_records(30)
    for slot in range(6):
        assert reading.reader.positions(slot) == await reading.reader.end_offsets(slot)


async def test_position_is_that_of_what_was_handed_out(log):
    reading = await log.reading()
    await log.send(ride_request())
    assert reading.reader.positions(SLOT)[log.topics[0]] == 0
    await reading.until_records(1)
    assert reading.reader.positions(SLOT)[log.topics[0]] == 1


async def test_commit_is_kept_for_the_next_owner(log):
    async with log.reader() as reader:
        reading = Reading(reader)
        await reading.until_open()
        assert await reader.committed(SLOT) == {}
        assert await reader.commit(SLOT, {log.topics[0]: 7}, metadata="123")
        found = await reader.committed(SLOT)
        assert {topic: kept.offset for topic, kept in found.items()} == {log.topics[0]: 7}
        assert found[log.topics[0]] in (Committed(7, "123"), Committed(7, ""))


async def test_slot_that_is_not_open_has_no_answers(log):
    reader = (await log.reading()).reader
    assert reader.positions(77) == {}
    assert not await reader.commit(77, {log.topics[0]: 1})
    for question in (reader.end_offsets, reader.committed):
        with pytest.raises(MembershipLost):
            await question(77)


async def test_paused_partition_hands_out_nothing_until_resumed(log):
    reading = await log.reading()
    reading.reader.pause(log.topics[0], SLOT)
    await log.send(*ride_requests(range(12)), ride_request(99))
    elsewhere = [n for n in range(12) if partition_for(f"city-{n}".encode(), 6) != SLOT]
    await reading.until_records(len(elsewhere))
    await reading.poll(0.3)
    assert SLOT not in {record.partition for record in reading.records}
    reading.reader.resume(log.topics[0], SLOT)
    await reading.until_records(13)


async def test_pause_lasts_through_a_rebalance(log):
    reading = await log.reading()
    for slot in range(6):
        reading.reader.pause(log.topics[0], slot)
    async with log.reader() as second:
        await share(reading, Reading(second))
        await log.send(*ride_requests(range(24)))
        await reading.poll(0.5)
        assert reading.records == []


async def test_two_readers_share_the_slots(log):
    first = await log.reading()
    async with log.reader() as reader:
        second = Reading(reader)
        await share(first, second)
        await log.send(*ride_requests(range(48)))
        await both_until(first, second, lambda: len(first.records) + len(second.records) >= 48)
        assert {record.partition for record in first.records} <= first.open
        assert {record.partition for record in second.records} <= second.open


def skip_on_embedded_broker(log: Log, why: str) -> None:
    if log.broker is None and not log.config.idempotence:
        pytest.skip(f"the embedded broker {why}")


async def test_reader_that_comes_back_under_its_name_moves_nothing(log):
    skip_on_embedded_broker(log, "rebalances for a known member too")
    first = await log.reading("first")
    async with log.reader("second") as reader:
        second = Reading(reader)
        await share(first, second)
    openings = first.openings
    async with log.reader("second") as reader:
        second = Reading(reader)
        await both_until(first, second, lambda: len(second.open) == 3)
        assert first.openings == openings
        assert len(first.open) == 3


async def test_newer_reader_of_the_same_name_ends_the_older(log):
    skip_on_embedded_broker(log, "does not fence")
    first = await log.reading("same")
    async with log.reader("same") as reader:
        second = Reading(reader)
        await second.until_open()
        with pytest.raises(InstanceFenced, match="'same'"):
            await first.until_records(1)
        await second.poll(1)
        assert len(second.open) == 6
        with pytest.raises(InstanceFenced):
            await first.poll(0)


async def share(first: Reading, second: Reading) -> None:
    """Poll both until each has half of the slots."""
    await both_until(first, second, lambda: len(first.open) == len(second.open) == 3)
    assert first.open | second.open == set(range(6))


async def both_until(first: Reading, second: Reading, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await first.poll(0.1)
            await second.poll(0.1)
