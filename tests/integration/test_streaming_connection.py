"""What is left of a connection when a client is ended while it asks its first question."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from pricing.embedded import ApacheKafka, free_ports
from streaming.config import KafkaConfig
from streaming.consuming.consumer import LogReader
from streaming.errors import BrokerError
from streaming.producing.batch_sender import BatchSender
from streaming.topics import ensure_topics
from tests.support.kafka_log import HOUR_MS, wall_ms
from tests.support.kafka_wire_proxy import KafkaWireProxy
from tests.support.servers import kafka_config_for
from tests.support.waiting import until

METADATA = 3

Client = Callable[[KafkaConfig, Callable[[], Awaitable[None]]], Awaitable[None]]


@pytest.fixture
async def proxy(kafka) -> AsyncIterator[KafkaWireProxy]:
    """Says which versions there are, and nothing after that."""
    if not isinstance(kafka, ApacheKafka):
        pytest.skip("needs Apache Kafka: install Java 17 or newer and Maven")
    async with KafkaWireProxy(kafka.port, port=free_ports(1)[0]) as proxy:
        proxy.silent_to = METADATA
        yield proxy


@pytest.fixture
def config(kafka, proxy, topic_prefix) -> KafkaConfig:
    return kafka_config_for(
        kafka, topic_prefix, bootstrap_servers=proxy.address, request_timeout_ms=5_000
    )


async def sender(config: KafkaConfig, asked: Callable[[], Awaitable[None]]) -> None:
    async with BatchSender(config, now=time.time):
        await asked()


async def reader(config: KafkaConfig, asked: Callable[[], Awaitable[None]]) -> None:
    async with LogReader(config, ["a"], "group", None, rewind_ms=HOUR_MS, now_ms=wall_ms):
        await asked()


async def diagnosis(config: KafkaConfig, asked: Callable[[], Awaitable[None]]) -> None:
    asking = asyncio.create_task(BatchSender(config, now=time.time).why_stalled("a", 0))
    await asked()
    asking.cancel()
    await asyncio.wait({asking})


async def topics(config: KafkaConfig, asked: Callable[[], Awaitable[None]]) -> None:
    with suppress(BrokerError):
        await ensure_topics(config, timeout_s=0.5)
    await asked()


@pytest.mark.parametrize("client", [sender, reader, diagnosis, topics])
async def test_end_before_the_first_answer_leaves_no_connection(proxy, config, client: Client):
    async def asked() -> None:
        await until(lambda: proxy.unanswered, "the first question")

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        await client(config, asked)
        gc.collect()
    assert [str(one.message) for one in warned] == []
