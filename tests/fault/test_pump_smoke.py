from __future__ import annotations

import pytest

from streaming.config import KafkaConfig
from streaming.topics import ensure_topics, full_name
from tests.support.kafka_log import ride_requests
from tests.support.pumped import ids_of, pumped, read_topic
from tests.support.waiting import until


@pytest.fixture
async def config(own_kafka) -> KafkaConfig:
    config = KafkaConfig(bootstrap_servers=own_kafka.bootstrap_servers, request_timeout_ms=1_500)
    await ensure_topics(config, timeout_s=20)
    return config


async def test_events_go_through_the_spool_to_kafka(config, tmp_path):
    async with pumped(config, tmp_path, wait_s=5) as path:
        events = ride_requests(range(200))
        receipts = await path.publisher.publish("ride-requests", events)
        assert {receipt.status for receipt in receipts} == {"sent"}
        records = await read_topic(config, full_name(config, "ride-requests"))
        assert sorted(ids_of(records)) == sorted(event.id for event in events)
        assert path.spool.stats().records == 0


async def test_events_wait_for_a_broker_that_is_dead(own_kafka, config, tmp_path):
    await own_kafka.kill()
    async with pumped(config, tmp_path) as path:
        events = ride_requests(range(200))
        receipts = await path.publisher.publish("ride-requests", events)
        assert {receipt.status for receipt in receipts} == {"buffered"}
        await until(lambda: path.pump.state.value == "spooling", "spooling", within_s=5)
        await own_kafka.start()
        await until(lambda: not path.spool.stats().records, "delivered", within_s=20)
        await until(lambda: path.pump.state.value == "healthy", "healthy", within_s=5)
    records = await read_topic(config, full_name(config, "ride-requests"))
    assert ids_of(records)
    assert sorted(ids_of(records)) == sorted(event.id for event in events)
