"""The fixtures that other tests stand on."""

from __future__ import annotations

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from streaming.config import KafkaConfig
from tests.support.servers import through


async def test_database_url_names_an_empty_database(database_url):
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        )
    finally:
        await connection.close()
    assert tables == 0


async def test_redis_url_names_an_empty_server(redis_url):
    client = Redis.from_url(redis_url)
    try:
        assert await client.dbsize() == 0
        await client.set("left-over", "1")
    finally:
        await client.aclose()


async def test_redis_url_after_another_test_is_empty_again(redis_url):
    client = Redis.from_url(redis_url)
    try:
        assert await client.dbsize() == 0
    finally:
        await client.aclose()


async def test_kafka_config_reaches_a_broker_that_keeps_events(kafka_config):
    await round_trip(kafka_config)


async def test_proxied_kafka_config_goes_through_the_proxy(proxied_kafka_config, kafka_proxy):
    await round_trip(proxied_kafka_config)
    # Bootstrap and a connection to the advertised address, of three clients.
    assert kafka_proxy.accepted >= 6


async def test_proxied_urls_go_through_the_proxy(
    redis_url, redis_proxy, database_url, postgres_proxy
):
    client = Redis.from_url(through(redis_url, redis_proxy))
    try:
        assert await client.ping()
    finally:
        await client.aclose()
    connection = await asyncpg.connect(through(database_url, postgres_proxy))
    await connection.close()
    assert redis_proxy.accepted == postgres_proxy.accepted == 1


async def round_trip(kafka_config: KafkaConfig) -> None:
    topic = f"{kafka_config.topic_prefix}round-trip"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_config.bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()
    producer = AIOKafkaProducer(
        bootstrap_servers=kafka_config.bootstrap_servers,
        enable_idempotence=kafka_config.idempotence,
    )
    await producer.start()
    try:
        await producer.send_and_wait(topic, b"event")
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka_config.bootstrap_servers)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        assert (await consumer.getone()).value == b"event"
    finally:
        await consumer.stop()
