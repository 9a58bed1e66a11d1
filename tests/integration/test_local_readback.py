from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer

from pricing.embedded import Tansu, free_ports
from pricing.errors import StartupError
from pricing.local.delivery_check import DeliveryCheck
from pricing.local.readback import TopicReadback
from streaming.config import KafkaConfig
from streaming.topics import DRIVER_STATUS, ensure_topics, full_name
from tests.support.waiting import until


@asynccontextmanager
async def _reading_back(config: KafkaConfig) -> AsyncIterator[tuple[TopicReadback, DeliveryCheck]]:
    delivery_check = DeliveryCheck()
    async with aclosing(TopicReadback(config, delivery_check)) as readback:
        await readback.open()
        run = asyncio.create_task(readback.run())
        try:
            yield readback, delivery_check
        finally:
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)


async def _produce(config: KafkaConfig, event_ids: list[str]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=config.bootstrap_servers, acks="all")
    await producer.start()
    try:
        for event_id in event_ids:
            await producer.send_and_wait(
                full_name(config, DRIVER_STATUS),
                b"{}",
                key=b"nyc",
                headers=[("ce_id", event_id.encode())],
            )
    finally:
        await producer.stop()


async def test_readback_reads_what_arrives_after_it_opened(kafka_config: KafkaConfig):
    await ensure_topics(kafka_config, timeout_s=20)
    await _produce(kafka_config, ["before"])
    async with _reading_back(kafka_config) as (_, delivery_check):
        delivery_check.acknowledge(["before", "a", "b", "never sent"])
        await _produce(kafka_config, ["a", "b"])
        await until(lambda: delivery_check.missing == 2, "both events")


async def test_readback_that_starts_over_reads_a_new_log_whole(own_directory):
    async with Tansu(own_directory / "tansu") as broker:
        config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers, partitions=4)
        await ensure_topics(config, timeout_s=20)
        async with _reading_back(config) as (readback, delivery_check):
            many = [f"a{number}" for number in range(20)]
            delivery_check.acknowledge(many)
            await _produce(config, many)
            await until(lambda: delivery_check.missing == 0, "the first log")
            await broker.kill()
            await broker.start()
            readback.start_over()
            delivery_check.acknowledge(["b"])
            await _produce(config, ["b"])
            await until(lambda: delivery_check.missing == 0, "the second log")


async def test_readback_without_a_broker_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch):
    (port,) = free_ports(1)
    config = replace(KafkaConfig(), bootstrap_servers=f"127.0.0.1:{port}")
    monkeypatch.setattr("pricing.local.readback._START_S", 2.0)
    async with aclosing(TopicReadback(config, DeliveryCheck())) as readback:
        with pytest.raises(StartupError, match=r"^cannot read the topics back: "):
            await readback.open()
