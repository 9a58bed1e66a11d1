"""The tail of the price feed, read from a real broker: what is left when no store answers."""

from __future__ import annotations

import time

import pytest

from fallback.breaker import PROFILES, CircuitBreaker
from pricing.processor.price_events import price_event
from pricing.reading.price_topic import TopicStates
from streaming.consuming.topic_tail import TopicTailReader
from streaming.errors import BrokerError
from streaming.topics import ZONE_PRICES, ensure_topics, full_name
from tests.support.api import ZONES
from tests.support.kafka_log import event_producer
from tests.support.zone_states import STEP_MS, TICK_MS, zone_state

WITHIN_S = 20.0


@pytest.fixture
async def topic(kafka_config):
    await ensure_topics(kafka_config, timeout_s=30)
    return full_name(kafka_config, ZONE_PRICES)


@pytest.fixture
async def publish(kafka_config, topic):
    async with event_producer(kafka_config) as producer:

        async def send(*states):
            await producer.send(topic, [price_event(state) for state in states], timeout_s=WITHIN_S)

        yield send


def keys(records):
    return sorted(record.key.decode() for record in records)


async def test_first_read_gives_the_tail_and_the_next_ones_the_news(kafka_config, topic, publish):
    await publish(zone_state("z1"), zone_state("z2"))
    async with TopicTailReader(kafka_config, topic) as feed:
        assert keys(await feed.read(WITHIN_S)) == ["z1", "z2"]
        assert await feed.read(WITHIN_S) == []
        await publish(zone_state("z2", TICK_MS + STEP_MS))
        assert keys(await feed.read(WITHIN_S)) == ["z2"]


async def test_tail_is_bounded_whatever_the_topic_holds(kafka_config, topic, publish):
    await publish(*(zone_state("z1", TICK_MS + STEP_MS * number) for number in range(50)))
    async with TopicTailReader(kafka_config, topic, tail=5) as feed:
        records = await feed.read(WITHIN_S)
    assert len(records) == 5
    states = TopicStates(feed, ZONES, CircuitBreaker("kafka", PROFILES["kafka"]))
    assert states is not None
    assert max(record.offset for record in records) == 49


async def test_empty_topic_gives_nothing(kafka_config, topic):
    async with TopicTailReader(kafka_config, topic) as feed:
        assert await feed.read(WITHIN_S) == []


async def test_feed_that_rested_begins_with_the_tail_again(kafka_config, topic, publish):
    await publish(zone_state("z1"))
    async with TopicTailReader(kafka_config, topic) as feed:
        assert keys(await feed.read(WITHIN_S)) == ["z1"]
        await feed.rest()
        assert keys(await feed.read(WITHIN_S)) == ["z1"]


async def test_dead_broker_is_an_error_in_time_and_the_next_read_connects_anew(
    proxied_kafka_config, kafka_proxy, topic, publish
):
    await publish(zone_state("z1"))
    async with TopicTailReader(proxied_kafka_config, topic) as feed:
        await kafka_proxy.refuse()
        began_s = time.monotonic()
        with pytest.raises(BrokerError):
            await feed.read(1.0)
        assert time.monotonic() - began_s < 8
        await kafka_proxy.heal()
        assert keys(await feed.read(WITHIN_S)) == ["z1"]
        kafka_proxy.hold()
        began_s = time.monotonic()
        with pytest.raises(BrokerError):
            await feed.read(1.0)
        assert time.monotonic() - began_s < 8
        await kafka_proxy.heal()
        assert keys(await feed.read(WITHIN_S)) == ["z1"]
