"""The producer against a broker that dies, freezes and refuses."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from pricing.embedded import ApacheKafka, free_ports
from streaming.config import KafkaConfig
from streaming.errors import (
    AccessRefused,
    BrokerError,
    BrokerRefused,
    BrokerUnavailable,
    ProducerFull,
    PublishTimeout,
    TopicMissing,
)
from streaming.events.codec import decode
from streaming.producing.producer import EventProducer
from streaming.topics import ensure_topics, full_name
from tests.support.kafka_log import event_producer, ride_request, ride_requests
from tests.support.pumped import make_topic
from tests.support.servers import kafka_config_for
from tests.support.waiting import WITHIN_S, until, until_stopped


@pytest.fixture
async def config(kafka_to_hurt, topic_prefix) -> KafkaConfig:
    config = kafka_config_for(kafka_to_hurt, topic_prefix, request_timeout_ms=1_500)
    await ensure_topics(config, timeout_s=20)
    return config


@pytest.fixture
def topic(config) -> str:
    return full_name(config, "ride-requests")


@pytest.fixture
async def producer(config, topic) -> AsyncIterator[EventProducer]:
    async with event_producer(config) as producer:
        await producer.send(topic, [ride_request(-1)], timeout_s=10)
        yield producer


async def log_of(config: KafkaConfig, topic: str) -> dict[str, list[int]]:
    """By key, the request ids in the order of the log."""
    consumer = AIOKafkaConsumer(bootstrap_servers=config.bootstrap_servers)
    await consumer.start()
    found: defaultdict[str, list[int]] = defaultdict(list)
    try:
        partitions = [TopicPartition(topic, number) for number in range(6)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(part) < ends[part] for part in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                for record in records:
                    event = decode(record).event
                    found[event.key].append(int(event.data["request_id"]))
    finally:
        await consumer.stop()
    return found


class Writer:
    """Sends numbered events one after the other, each until it is acknowledged."""

    def __init__(self, producer: EventProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self.acked: list[int] = []
        self.failures: list[BrokerError] = []

    async def write(self, count: int) -> None:
        for number in range(count):
            event = ride_request(number, key=f"city-{number % 7}")
            while True:
                try:
                    await self._producer.send(self._topic, [event], timeout_s=1)
                    break
                except BrokerError as error:
                    self.failures.append(error)
                    await asyncio.sleep(0.05)
            self.acked.append(number)

    async def in_vain(self, times: int) -> None:
        """Return once so many more attempts, of a second each, have failed."""
        wanted = len(self.failures) + times
        await until(lambda: len(self.failures) >= wanted, "attempts in vain")


def first_times(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


async def kill(server: ApacheKafka, writer: Writer) -> None:
    del writer
    await server.kill()
    await server.start()


async def terminate(server: ApacheKafka, writer: Writer) -> None:
    await server.stop()
    await writer.in_vain(2)  # longer than a request may take: a batch without a leader expires
    await server.start()


async def freeze(server: ApacheKafka, writer: Writer) -> None:
    server.freeze()
    await writer.in_vain(2)  # longer than a request may take
    server.thaw()


@pytest.mark.parametrize("fault", [kill, terminate, freeze])
async def test_no_event_is_lost_or_reordered_through_a_fault(
    kafka_to_hurt, config, producer, fault, topic
):
    writer = Writer(producer, topic)
    writing = asyncio.create_task(writer.write(400))
    await until(lambda: len(writer.acked) > 50, "events flow")
    await fault(kafka_to_hurt, writer)
    await asyncio.wait_for(writing, WITHIN_S)
    log = await log_of(config, topic)
    del log["nyc"]
    for key, numbers in log.items():
        assert first_times(numbers) == [n for n in range(400) if f"city-{n % 7}" == key]


@pytest.mark.parametrize("end", [ApacheKafka.kill, ApacheKafka.stop])
async def test_first_send_after_a_restart_without_traffic_gets_through(
    kafka_to_hurt, producer, end, topic
):
    await end(kafka_to_hurt)
    await kafka_to_hurt.start()
    await producer.send(topic, [ride_request()], timeout_s=15)


async def test_plain_producer_survives_too(kafka_to_hurt, config, topic):
    plain = KafkaConfig(
        bootstrap_servers=config.bootstrap_servers, idempotence=False, request_timeout_ms=1_500
    )
    async with event_producer(plain) as producer:
        writer = Writer(producer, topic)
        writing = asyncio.create_task(writer.write(200))
        await until(lambda: len(writer.acked) > 50, "events flow")
        await terminate(kafka_to_hurt, writer)
        await asyncio.wait_for(writing, WITHIN_S)
    numbers = [
        n for numbers in (await log_of(config, topic)).values() for n in first_times(numbers)
    ]
    assert sorted(numbers) == list(range(200))


async def test_producer_starts_before_its_broker(kafka_to_hurt, config, topic):
    await kafka_to_hurt.kill()
    async with event_producer(config) as producer:
        with pytest.raises(BrokerUnavailable):
            await producer.send(topic, [ride_request()], timeout_s=0.3)
        sending = asyncio.create_task(producer.send(topic, [ride_request()], timeout_s=20))
        await kafka_to_hurt.start()
        await sending


async def test_many_callers_at_once_each_keep_their_order(config, producer, topic):
    async def call(city: int) -> None:
        for start in range(0, 50, 5):
            events = [ride_request(n, key=f"city-{city}") for n in range(start, start + 5)]
            await producer.send(topic, events, timeout_s=20)

    await asyncio.gather(*(call(city) for city in range(40)))
    log = await log_of(config, topic)
    assert all(log[f"city-{city}"] == list(range(50)) for city in range(40))


async def test_frozen_broker_ends_the_wait_at_the_deadline(kafka_to_hurt, producer, topic):
    kafka_to_hurt.freeze()
    await until_stopped(kafka_to_hurt.pid)
    started = time.monotonic()
    with pytest.raises(PublishTimeout) as caught:
        await producer.send(topic, ride_requests(range(3)), timeout_s=0.5)
    assert 0.4 < time.monotonic() - started < 1.5
    assert caught.value.unacknowledged == (0, 1, 2)
    kafka_to_hurt.thaw()
    await producer.send(topic, [ride_request()], timeout_s=10)
    await until(lambda: not producer.pending_bytes, "the late acknowledgement counts")


async def test_pending_bytes_are_bounded(kafka_to_hurt, config, topic):
    async with event_producer(config, max_pending_bytes=20_000) as producer:
        await producer.send(topic, [ride_request()], timeout_s=10)
        kafka_to_hurt.freeze()
        calls = [
            producer.send(topic, [ride_request(n, product="x" * 64)], timeout_s=0.5)
            for n in range(200)
        ]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert producer.pending_bytes <= 20_000
        # The first is under way; those behind it are known not to have been sent.
        kinds = {type(outcome) for outcome in outcomes}
        assert kinds == {PublishTimeout, BrokerUnavailable, ProducerFull}
        assert producer.pending_bytes < 1_000
        kafka_to_hurt.thaw()
        await until(lambda: not producer.pending_bytes, "room again")
        await producer.send(topic, [ride_request()], timeout_s=10)


async def test_topic_that_is_not_there_is_named_missing(producer, topic):
    with pytest.raises(TopicMissing):
        await producer.send("equilibrium.none", [ride_request()], timeout_s=10)
    await producer.send(topic, [ride_request()], timeout_s=10)


async def test_topic_with_too_few_partitions_is_refused(config, producer):
    await make_topic(config, "narrow", 1)
    with pytest.raises(BrokerRefused, match="1 partitions"):
        await producer.send("narrow", ride_requests(range(12)), timeout_s=10)


async def test_refused_record_holds_up_no_later_one(config, producer, topic):
    await make_topic(config, "small", max_message_bytes="600")
    with pytest.raises(BrokerRefused) as caught:
        await producer.send("small", [ride_request(product="x" * 600)], timeout_s=10)
    assert caught.value.code == 10
    await producer.send(topic, [ride_request(5)], timeout_s=10)
    await producer.send("small", [ride_request(6)], timeout_s=10)
    assert (await log_of(config, "small")) == {"nyc": [6]}


async def test_wrong_credentials_are_told_from_a_dead_broker(kafka_to_hurt, topic):
    config = KafkaConfig(
        bootstrap_servers=kafka_to_hurt.bootstrap_servers,
        request_timeout_ms=1_500,
        security_protocol="SASL_PLAINTEXT",
        sasl_username="somebody",
        sasl_password="wrong",
    )
    async with event_producer(config) as producer:
        with pytest.raises(AccessRefused):
            await producer.send(topic, [ride_request()], timeout_s=3)


async def nothing(server: ApacheKafka) -> None:
    """No fault."""


async def leave_killed(server: ApacheKafka) -> None:
    await server.kill()


async def leave_stopped(server: ApacheKafka) -> None:
    await server.stop()


async def leave_frozen(server: ApacheKafka) -> None:
    server.freeze()


Fault = Callable[[ApacheKafka], Awaitable[None]]


@pytest.mark.parametrize("fault", [nothing, leave_killed, leave_stopped, leave_frozen])
@pytest.mark.parametrize("pending", [True, False], ids=["pending", "idle"])
async def test_close_is_bounded_and_leaves_no_task(
    kafka_to_hurt, config, fault: Fault, pending, caplog, topic
):
    before = asyncio.all_tasks()
    async with event_producer(config) as producer:
        await producer.send(topic, [ride_request()], timeout_s=10)
        await fault(kafka_to_hurt)
        if pending and fault is not nothing:
            with suppress(BrokerError):
                await producer.send(topic, ride_requests(range(20)), timeout_s=0.2)
        started = time.monotonic()
    assert time.monotonic() - started < 6
    await until(lambda: asyncio.all_tasks() <= before, "no task is left")
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_close_without_any_broker_is_quick():
    config = KafkaConfig(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    async with event_producer(config):
        started = time.monotonic()
    assert time.monotonic() - started < 0.5
