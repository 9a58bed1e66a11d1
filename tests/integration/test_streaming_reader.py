"""The reader on a real broker: rebalances, records that cannot be parsed, places that are gone."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import structlog
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.record.util import calc_crc32c

from pricing.embedded import ApacheKafka, Tansu
from streaming.config import KafkaConfig
from streaming.consuming.consumer import LogReader, ReaderTiming
from streaming.dead_letter import DeadLetters
from streaming.errors import InvalidMessage
from streaming.events.codec import decode, encode
from streaming.partitioning import partition_for
from streaming.producing.producer import EventProducer
from streaming.topics import INPUTS, dlq_of, ensure_topics, full_name
from tests.support.kafka_log import (
    HOUR_MS,
    QUICK,
    Reading,
    consumed,
    event_producer,
    ride_request,
    ride_requests,
    wall_ms,
)
from tests.support.waiting import until

SLOT = partition_for(b"nyc", 6)


@pytest.fixture
async def config(kafka, kafka_config) -> KafkaConfig:
    if not isinstance(kafka, ApacheKafka):
        pytest.skip("needs Apache Kafka")
    await ensure_topics(kafka_config, timeout_s=20)
    return kafka_config


@pytest.fixture
async def producer(config) -> AsyncIterator[EventProducer]:
    async with event_producer(config) as producer:
        yield producer


@pytest.fixture
async def admin(config) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    await admin.start()
    yield admin
    await admin.close()


def topics_of(config: KafkaConfig) -> list[str]:
    return [full_name(config, topic) for topic in INPUTS]


def reader_of(
    config: KafkaConfig,
    instance_id: str | None = None,
    *,
    timing: ReaderTiming = QUICK,
    topics: Sequence[str] | None = None,
) -> LogReader:
    return LogReader(
        config,
        topics or topics_of(config),
        f"{config.topic_prefix}group",
        instance_id,
        rewind_ms=HOUR_MS,
        now_ms=wall_ms,
        timing=timing,
    )


async def follow(reading: Reading) -> None:
    while True:
        await reading.poll(0.1)


class Crowd:
    """Readers that come and go while events flow; checks that every slot has one owner."""

    def __init__(self, config: KafkaConfig, stack: AsyncExitStack) -> None:
        self._config = config
        self._stack = stack
        self._following: dict[str, tuple[AsyncExitStack, asyncio.Task[None]]] = {}
        self.readings: dict[str, Reading] = {}

    async def join(self, name: str) -> None:
        stack = AsyncExitStack()
        reading = Reading(await stack.enter_async_context(reader_of(self._config)))
        self._following[name] = stack, asyncio.create_task(follow(reading))
        self._stack.push_async_callback(self.leave, name)
        self.readings[name] = reading
        await until(lambda: reading.open, "the newcomer has slots")

    async def leave(self, name: str) -> None:
        stack, task = self._following.pop(name, (None, None))
        if stack is not None and task is not None:
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled(), task.exception()
            self.readings.pop(name, None)
            await stack.aclose()

    @property
    def owners(self) -> dict[int, list[str]]:
        return {
            slot: [name for name, reading in self.readings.items() if slot in reading.open]
            for slot in range(6)
        }

    @property
    def numbers(self) -> list[int]:
        """Request ids of what the owners of today have read since they own it."""
        return sorted(
            int(decode(record).event.data["request_id"])
            for reading in self.readings.values()
            for record in reading.records
        )

    async def settled(self) -> None:
        await until(
            lambda: all(len(names) == 1 for names in self.owners.values()),
            "each slot has one owner",
            within_s=30,
        )


async def test_readers_that_come_and_go_skip_nothing(config, producer):
    sent = 0

    async def write() -> None:
        nonlocal sent
        while True:
            await producer.send(topics_of(config)[0], ride_requests([sent]), timeout_s=10)
            sent += 1

    async with AsyncExitStack() as stack:
        crowd = Crowd(config, stack)
        writing = asyncio.create_task(write())
        for change in (
            crowd.join("a"),
            crowd.join("b"),
            crowd.join("c"),
            crowd.leave("a"),
            crowd.join("d"),
            crowd.leave("c"),
        ):
            await change
            seen = sent
            await until(lambda seen=seen: sent > seen + 50, "events flow")
            await crowd.settled()
        writing.cancel()
        await asyncio.wait({writing})
        await until(lambda: len(crowd.numbers) >= sent, "all is read")
        # The rewind reaches back to the first event, so the owners of today have read them all.
        assert crowd.numbers[:sent] == list(range(sent))
        assert set(crowd.readings) == {"b", "d"}


async def test_reader_waits_for_topics_to_come(kafka, kafka_config):
    async with reader_of(kafka_config) as reader:
        reading = Reading(reader)
        assert not (await reading.poll(0.5)).opened
        await ensure_topics(kafka_config, timeout_s=20)
        await reading.until_open()


async def test_reader_refuses_topics_that_do_not_match(config, admin):
    prices = full_name(config, "zone-prices")
    await admin.create_partitions({prices: NewPartitions(total_count=8)})
    async with asyncio.timeout(60):
        while len((await admin.describe_topics([prices]))[0]["partitions"]) < 8:
            await asyncio.sleep(0.01)
    with structlog.testing.capture_logs() as logs:
        async with reader_of(config, topics=[topics_of(config)[0], prices]) as reader:
            assert not (await Reading(reader).poll(1)).opened
    assert any("different numbers of partitions" in line.get("error", "") for line in logs)


async def test_reader_gives_up_slots_when_topics_stop_to_match(config, admin):
    async with reader_of(config) as reader:
        reading = Reading(reader)
        await reading.until_open()
        await admin.create_partitions({topics_of(config)[1]: NewPartitions(total_count=8)})
        async with asyncio.timeout(60):  # metadata is refreshed every 10 s
            while reading.open:
                await reading.poll()


async def poison(config: KafkaConfig, *, before: int, after: int) -> None:
    """A batch in which one record has a header name that is not UTF-8."""
    producer = AIOKafkaProducer(bootstrap_servers=config.bootstrap_servers)
    await producer.start()
    try:
        batch = producer.create_batch()
        for number in range(before + 1 + after):
            headers = [("QQQQ", b"")] if number == before else []
            batch.append(timestamp=None, key=b"nyc", value=b"%d" % number, headers=headers)
        content = bytearray(batch._build())
        at = content.index(b"QQQQ")
        content[at : at + 4] = b"\xff\xfe\xff\xfe"
        struct.pack_into(">I", content, 17, calc_crc32c(bytes(content[21:])))
        batch._buffer = bytes(content)
        done = await producer.send_batch(batch, topics_of(config)[0], partition=SLOT)
        await done
    finally:
        await producer.stop()


async def test_record_that_cannot_be_parsed_is_handed_out_as_such(config, producer):
    await producer.send(topics_of(config)[0], ride_requests(range(24)), timeout_s=10)
    await poison(config, before=2, after=3)
    await producer.send(topics_of(config)[0], [ride_request(99)], timeout_s=10)
    async with reader_of(config) as reader:
        reading = Reading(reader)
        records = await reading.until_records(24 + 2 + 1 + 3 + 1)
        mine = [record for record in records if record.partition == SLOT]
        assert [record.offset for record in mine] == list(range(len(mine)))
        holes = [record for record in mine if record.value is None]
        assert len(holes) == 4  # the bad one, and those behind it in its batch
        with pytest.raises(InvalidMessage, match="unparsable"):
            decode(holes[0])
        assert decode(mine[-1]).event.data["request_id"] == "99"
        assert reader.positions(SLOT) == await reader.end_offsets(SLOT)


async def test_place_that_is_gone_from_the_log_is_found_anew(config, producer, admin):
    topic = topics_of(config)[0]
    await producer.send(topic, [ride_request(n) for n in range(10)], timeout_s=10)
    async with reader_of(config) as reader:
        reading = Reading(reader)
        await reading.until_records(10)
        reader.pause(topic, SLOT)
        await reading.poll(1)  # a fetch that is under way still has the partition
        await producer.send(topic, [ride_request(n) for n in range(10, 20)], timeout_s=10)
        await admin.delete_records({TopicPartition(topic, SLOT): RecordsToDelete(15)})
        reader.resume(topic, SLOT)
        openings = reading.openings
        await until_reopened(reading, openings)
        assert [record.offset for record in await reading.until_records(5)] == [*range(15, 20)]


async def until_reopened(reading: Reading, openings: int) -> None:
    async with asyncio.timeout(60):
        while reading.openings == openings:
            await reading.poll()


async def test_position_passes_what_a_transaction_leaves_in_the_log(config, producer):
    topic = topics_of(config)[0]
    theirs = AIOKafkaProducer(
        bootstrap_servers=config.bootstrap_servers, transactional_id=config.topic_prefix
    )
    await theirs.start()
    async with theirs.transaction():
        await theirs.send_and_wait(topic, consumed().value, key=b"nyc", partition=SLOT)
    await theirs.stop()
    async with reader_of(config) as reader:
        reading = Reading(reader)
        await reading.until_records(1)
        async with asyncio.timeout(60):
            while reader.positions(SLOT) != await reader.end_offsets(SLOT):
                await reading.poll()
        assert reader.positions(SLOT)[topic] == 2


async def test_reader_that_does_not_poll_loses_its_slots(config):
    timing = replace(QUICK, max_poll_interval_ms=1_000)
    async with reader_of(config, timing=timing) as idle, reader_of(config) as other:
        first, second = Reading(idle), Reading(other)
        await first.until_open(slots=3)
        await second.until_open(slots=6)
        assert not await idle.commit(next(iter(first.open)), {topics_of(config)[0]: 1})
        await first.poll()
        assert not first.open


async def test_slots_of_a_static_member_that_stays_away_go_to_the_other(config):
    async with reader_of(config, "other") as other:
        second = Reading(other)
        async with reader_of(config, "gone") as gone:
            await asyncio.gather(Reading(gone).until_open(slots=3), second.until_open(slots=3))
        stopped = time.monotonic()
        await second.until_open(slots=6)
        session_s = QUICK.session_timeout_ms / 1000
        assert session_s - 1 < time.monotonic() - stopped < session_s + 4


async def test_record_as_large_as_a_broker_takes_is_dead_lettered_whole(config, producer):
    """With its own headers and ours it is larger than what any other topic takes."""
    topic = topics_of(config)[0]
    value = b"{" + b" " * 1_047_800 + b"}"
    record = replace(encode(ride_request()), value=value)
    theirs = AIOKafkaProducer(
        bootstrap_servers=config.bootstrap_servers, max_request_size=2 * 1024 * 1024
    )
    async with asyncio.timeout(60), theirs:
        await theirs.send_and_wait(
            topic, record.value, record.key, partition=SLOT, headers=list(record.headers)
        )
    async with reader_of(config) as reader:
        (read,) = await Reading(reader).until_records(1)
    with pytest.raises(InvalidMessage, match="too_large") as caught:
        decode(read)
    letters = DeadLetters(producer, now_ms=wall_ms)
    await letters.send(read, caught.value)
    dead = dlq_of(topic)
    async with reader_of(config, topics=[dead]) as reader:
        (letter,) = await Reading(reader).until_records(1)
    assert (letter.partition, letter.key, letter.value) == (SLOT, b"nyc", value)
    assert dict(letter.headers)["dlq_reason"] == b"too_large"


async def test_end_is_told_at_once_in_a_quiet_log(config):
    async with reader_of(config) as reader:
        reading = Reading(reader)
        await reading.until_open()
        await reading.poll(0.2)
        started = time.monotonic()
        for _ in range(5):
            await reader.end_offsets(SLOT)
        # aiokafka's own question waits behind the fetch: five times up to half a second.
        assert time.monotonic() - started < 0.5


async def test_embedded_broker_hands_out_everything_once(own_directory):
    async with Tansu(own_directory / "tansu") as tansu:
        config = KafkaConfig(
            bootstrap_servers=tansu.bootstrap_servers, idempotence=False, fetch_max_wait_ms=20
        )
        await ensure_topics(config, timeout_s=20)
        async with event_producer(config) as producer, reader_of(config) as reader:
            await producer.send(topics_of(config)[0], ride_requests(range(240)), timeout_s=10)
            reading = Reading(reader)
            records = await reading.until_records(240, within_s=40)
            numbers = [int(decode(record).event.data["request_id"]) for record in records]
            assert sorted(numbers) == list(range(240))
            for slot in range(6):
                assert reader.positions(slot) == await reader.end_offsets(slot)
            assert await reader.commit(SLOT, reader.positions(SLOT), metadata="7")
            kept = await reader.committed(SLOT)
            assert {topic: at.offset for topic, at in kept.items()} == reader.positions(SLOT)
