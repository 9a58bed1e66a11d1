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
from pricing.local.readback import TopicTail
from streaming.config import KafkaConfig
from streaming.topics import DRIVER_STATUS, ensure_topics, full_name
from tests.support.waiting import until


@asynccontextmanager
async def _tailing(config: KafkaConfig) -> AsyncIterator[tuple[TopicTail, DeliveryCheck]]:
    ledger = DeliveryCheck()
    async with aclosing(TopicTail(config, ledger)) as tail:
        await tail.open()
        run = asyncio.create_task(tail.run())
        try:
            yield tail, ledger
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


async def test_tail_reads_what_arrives_after_it_opened(kafka_config: KafkaConfig):
    await ensure_topics(kafka_config, timeout_s=20)
    await _produce(kafka_config, ["before"])
    async with _tailing(kafka_config) as (_, ledger):
        ledger.acknowledge(["before", "a", "b", "never sent"])
        await _produce(kafka_config, ["a", "b"])
        await until(lambda: ledger.missing == 2, "both events", within_s=10)


async def test_tail_that_starts_over_reads_a_new_log_whole(own_directory):
    async with Tansu(own_directory / "tansu") as broker:
        config = KafkaConfig(bootstrap_servers=broker.bootstrap_servers, partitions=4)
        await ensure_topics(config, timeout_s=20)
        async with _tailing(config) as (tail, ledger):
            many = [f"a{number}" for number in range(20)]
            ledger.acknowledge(many)
            await _produce(config, many)
            await until(lambda: ledger.missing == 0, "the first log", within_s=10)
            await broker.kill()
            await broker.start()
            tail.start_over()
            ledger.acknowledge(["b"])
            await _produce(config, ["b"])
            await until(lambda: ledger.missing == 0, "the second log", within_s=20)


async def test_tail_without_a_broker_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch):
    (port,) = free_ports(1)
    config = replace(KafkaConfig(), bootstrap_servers=f"127.0.0.1:{port}")
    monkeypatch.setattr("pricing.local.readback._START_S", 2.0)
    async with aclosing(TopicTail(config, DeliveryCheck())) as tail:
        with pytest.raises(StartupError, match=r"^cannot read the topics back: "):
            await tail.open()
