"""What the in-memory broker can be told to do, beyond the contract that it shares with Kafka."""

from __future__ import annotations

import asyncio

import pytest

from streaming.errors import BrokerTimeout, BrokerUnavailable, PublishTimeout
from streaming.events.codec import encode
from streaming.memory import MemoryBroker, MemoryLogReader, MemoryProducer
from tests.support.kafka_log import HOUR_MS, Reading, ride_request, ride_requests

TOPICS = ("a", "b")


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(now_ms=lambda: 1_000)


def reader_of(broker, instance_id: str | None = None) -> MemoryLogReader:
    return MemoryLogReader(broker, TOPICS, "group", instance_id, rewind_ms=HOUR_MS)


async def test_records_are_stamped_by_the_brokers_clock(broker):
    await MemoryProducer(broker).send("a", ride_requests(range(3)), timeout_s=1)
    assert [record.timestamp_ms for record in broker.topic("a")] == [1_000, 1_000, 1_000]


async def test_dead_broker_takes_nothing(broker):
    broker.is_down = True
    producer = MemoryProducer(broker)
    with pytest.raises(BrokerUnavailable):
        await producer.send("a", [ride_request()], timeout_s=0)
    assert broker.topic("a") == []


async def test_writer_waits_for_the_broker_to_come_back(broker):
    broker.is_down = True
    sending = asyncio.create_task(MemoryProducer(broker).send("a", [ride_request()], timeout_s=5))
    await asyncio.sleep(0)
    broker.is_down = False
    await sending
    assert len(broker.topic("a")) == 1


async def test_lost_acknowledgement_leaves_the_record_in_the_log(broker):
    broker.loses_acks = True
    with pytest.raises(PublishTimeout) as caught:
        await MemoryProducer(broker).send("a", ride_requests(range(2)), timeout_s=0)
    assert caught.value.unacknowledged == (0, 1)
    assert len(broker.topic("a")) == 2


async def test_dead_broker_gives_no_records_and_no_answers(broker):
    await MemoryProducer(broker).send("a", ride_requests(range(3)), timeout_s=1)
    async with reader_of(broker) as reader:
        reading = Reading(reader)
        await reading.poll(0)
        broker.is_down = True
        broker.append("a", 0, encode(ride_request()))
        assert not (await reading.poll(0)).records
        for question in (
            reader.end_offsets(0),
            reader.committed(0),
            reader.commit(0, {"a": 1}),
        ):
            with pytest.raises(BrokerTimeout):
                await question
        broker.is_down = False
        assert await reader.end_offsets(0)


async def test_slots_of_a_static_member_wait_until_its_session_ends(broker):
    async with reader_of(broker, "other") as other:
        reading = Reading(other)
        async with reader_of(broker, "gone"):
            pass
        await reading.poll(0)
        assert len(reading.open) == 3
        broker.end_session("group", "gone")
        await reading.poll(0)
        assert len(reading.open) == 6
