"""The reader while its broker is dead, frozen or gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from pricing.embedded import ApacheKafka, free_ports
from streaming.config import KafkaConfig
from streaming.consuming.consumer import LogReader
from streaming.errors import BrokerError
from streaming.events.codec import decode
from streaming.producing.producer import EventProducer
from streaming.topics import INPUTS, ensure_topics, full_name
from tests.support.kafka_log import HOUR_MS, QUICK, Reading, event_producer, ride_request, wall_ms
from tests.support.servers import kafka_config_for
from tests.support.waiting import WITHIN_S, until

Fault = Callable[[ApacheKafka], Awaitable[None]]


@pytest.fixture
async def config(kafka_to_hurt, topic_prefix) -> KafkaConfig:
    config = kafka_config_for(kafka_to_hurt, topic_prefix, request_timeout_ms=1_500)
    await ensure_topics(config, timeout_s=20)
    return config


@pytest.fixture
async def producer(config) -> AsyncIterator[EventProducer]:
    async with event_producer(config) as producer:
        yield producer


def reader_of(config: KafkaConfig, instance_id: str | None = None) -> LogReader:
    topics = [full_name(config, topic) for topic in INPUTS]
    return LogReader(
        config,
        topics,
        f"{config.topic_prefix}group",
        instance_id,
        rewind_ms=HOUR_MS,
        now_ms=wall_ms,
        timing=QUICK,
    )


async def kill(server: ApacheKafka) -> None:
    await server.kill()


async def stop(server: ApacheKafka) -> None:
    await server.stop()


async def freeze(server: ApacheKafka) -> None:
    server.freeze()


async def back(server: ApacheKafka) -> None:
    server.thaw()
    await server.start()


async def write(producer: EventProducer, topic: str, numbers: range) -> None:
    for number in numbers:
        event = ride_request(number, key=f"city-{number % 12}")
        while True:
            try:
                await producer.send(topic, [event], timeout_s=2)
                break
            except BrokerError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("fault", [kill, stop, freeze])
@pytest.mark.parametrize(
    "down_s",
    [pytest.param(1, id="short"), pytest.param(8, id="session-expires", marks=pytest.mark.soak)],
)
async def test_nothing_is_skipped_through_an_outage(kafka_to_hurt, config, producer, fault, down_s):
    async with reader_of(config) as reader:
        reading = Reading(reader)
        writing = asyncio.create_task(write(producer, full_name(config, INPUTS[0]), range(300)))
        await reading.until_records(60)
        await fault(kafka_to_hurt)
        until_s = asyncio.get_running_loop().time() + down_s
        while asyncio.get_running_loop().time() < until_s:
            await reading.poll(0.2)
        await back(kafka_to_hurt)
        await asyncio.wait_for(writing, WITHIN_S)
        async with asyncio.timeout(WITHIN_S):
            while numbers_of(reading) != set(range(300)):
                await reading.poll()


def numbers_of(reading: Reading) -> set[int]:
    return {int(decode(record).event.data["request_id"]) for record in reading.records}


@pytest.mark.parametrize("fault", [kill, freeze])
async def test_questions_end_at_their_deadline(kafka_to_hurt, config, fault):
    async with reader_of(config) as reader:
        reading = Reading(reader)
        await reading.until_open()
        await fault(kafka_to_hurt)
        for ask in (
            lambda: reader.end_offsets(0),
            lambda: reader.committed(0),
            lambda: reader.commit(0, {reader.topics[0]: 1}),
        ):
            started = time.monotonic()
            with pytest.raises(BrokerError):
                await ask()
            assert time.monotonic() - started < 3
        assert not (await reading.poll(0.3)).records
        await back(kafka_to_hurt)
        async with asyncio.timeout(WITHIN_S):
            while not await answers(reading):
                await reading.poll()


async def answers(reading: Reading) -> bool:
    try:
        return bool(await reading.reader.end_offsets(0))
    except BrokerError:
        return False


async def test_reader_starts_before_its_broker(kafka_to_hurt, config, producer):
    await write(producer, full_name(config, INPUTS[0]), range(24))
    await kafka_to_hurt.kill()
    async with reader_of(config) as reader:
        reading = Reading(reader)
        assert not (await reading.poll(0.3)).opened
        await kafka_to_hurt.start()
        await reading.until_records(24)


async def test_static_member_keeps_its_slots_through_a_restart_of_the_broker(kafka_to_hurt, config):
    async with reader_of(config, "a") as first, reader_of(config, "b") as second:
        readings = [Reading(first), Reading(second)]
        async with asyncio.timeout(WITHIN_S):
            # The first to join holds all slots until the second has joined too.
            while sorted(len(reading.open) for reading in readings) != [3, 3]:
                for reading in readings:
                    await reading.poll(0.1)
        shares = [set(reading.open) for reading in readings]
        await kill(kafka_to_hurt)
        await back(kafka_to_hurt)
        async with asyncio.timeout(WITHIN_S):
            while not all([await has_end(reading) for reading in readings]):
                for reading in readings:
                    await reading.poll(0.1)
        assert [set(reading.open) for reading in readings] == shares


async def has_end(reading: Reading) -> bool:
    with suppress(BrokerError):
        return bool(reading.open) and bool(await reading.reader.end_offsets(min(reading.open)))
    return False


async def nothing(server: ApacheKafka) -> None:
    """No fault."""


@pytest.mark.parametrize("instance_id", [None, "static"])
@pytest.mark.parametrize("fault", [nothing, kill, stop, freeze])
async def test_close_is_bounded_and_leaves_no_task(
    kafka_to_hurt, config, fault: Fault, instance_id, caplog
):
    before = asyncio.all_tasks()
    async with reader_of(config, instance_id) as reader:
        reading = Reading(reader)
        await reading.until_open()
        await fault(kafka_to_hurt)
        with suppress(BrokerError):
            await reader.commit(0, {reader.topics[0]: 1})
        await reading.poll(0.2)
        started = time.monotonic()
    assert time.monotonic() - started < 6
    await until(lambda: asyncio.all_tasks() <= before, "no task is left")
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_close_without_any_broker_is_quick():
    config = KafkaConfig(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    async with reader_of(config) as reader:
        await reader.poll(0.2)
        started = time.monotonic()
    assert time.monotonic() - started < 0.5
