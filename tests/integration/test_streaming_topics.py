"""Topics on real brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pricing.embedded import Tansu, free_ports
from streaming.config import KafkaConfig
from streaming.errors import BrokerRefused, BrokerUnavailable
from streaming.topics import TopicClash, all_topics, ensure_topics
from tests.support.servers import kafka_config_for


@asynccontextmanager
async def admin_of(config: KafkaConfig) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=config.bootstrap_servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def partitions_of(config: KafkaConfig) -> dict[str, int]:
    async with admin_of(config) as admin:
        described = await admin.describe_topics([facts.name for facts in all_topics(config)])
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def test_missing_topics_are_created(kafka_config):
    assert await ensure_topics(kafka_config, timeout_s=20) == []
    assert await partitions_of(kafka_config) == {
        facts.name: facts.partitions for facts in all_topics(kafka_config)
    }


async def test_topics_created_again_change_nothing(kafka_config):
    await ensure_topics(kafka_config, timeout_s=20)
    assert await ensure_topics(kafka_config, timeout_s=20) == []


async def test_topics_created_by_several_at_once_are_created_once(kafka_config):
    attempts = [ensure_topics(kafka_config, timeout_s=20) for _ in range(4)]
    assert await asyncio.gather(*attempts) == [[], [], [], []]


async def test_created_topics_have_their_settings(kafka_to_hurt, topic_prefix):
    config = kafka_config_for(kafka_to_hurt, topic_prefix)
    await ensure_topics(config, timeout_s=20)
    async with admin_of(config) as admin:
        for facts in all_topics(config):
            resource = ConfigResource(ConfigResourceType.TOPIC, facts.name)
            (answer,) = await admin.describe_configs([resource])
            found = {entry[0]: entry[1] for entry in answer.resources[0][4]}
            assert {key: found[key] for key in facts.settings} == facts.settings


async def test_topic_with_other_partitions_is_reported(kafka_config):
    await ensure_topics(kafka_config, timeout_s=20)
    clashes = await ensure_topics(replace(kafka_config, partitions=4), timeout_s=20)
    name = f"{kafka_config.topic_prefix}ride-requests"
    assert TopicClash(name, "partitions", "4", "6") in clashes
    assert len(clashes) == len(all_topics(kafka_config))


async def test_topic_with_other_settings_is_reported_and_left_alone(kafka_to_hurt, topic_prefix):
    config = kafka_config_for(kafka_to_hurt, topic_prefix)
    name = f"{topic_prefix}ride-requests"
    theirs = {"cleanup.policy": "compact", "retention.ms": "1000"}
    async with admin_of(config) as admin:
        await admin.create_topics([NewTopic(name, 6, 1, topic_configs=theirs)])
    wanted = [
        TopicClash(name, "cleanup.policy", "delete", "compact"),
        TopicClash(name, "message.timestamp.type", "LogAppendTime", "CreateTime"),
    ]
    assert await ensure_topics(config, timeout_s=20) == wanted
    assert await ensure_topics(config, timeout_s=20) == wanted
    assert str(wanted[0]) == f"topic {name}: cleanup.policy is compact, wanted delete"


async def test_broker_that_cannot_replicate_so_often_refuses(kafka_to_hurt, topic_prefix):
    config = kafka_config_for(kafka_to_hurt, topic_prefix, replication=3)
    with pytest.raises(BrokerRefused, match="replication factor"):
        await ensure_topics(config, timeout_s=20)


async def test_unreachable_broker_is_tried_until_the_deadline():
    config = KafkaConfig(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}")
    started = asyncio.get_running_loop().time()
    with pytest.raises(BrokerUnavailable):
        await ensure_topics(config, timeout_s=0.5)
    assert 0.4 < asyncio.get_running_loop().time() - started < 2


async def test_broker_that_comes_late_gets_its_topics(kafka_to_hurt, topic_prefix):
    config = kafka_config_for(kafka_to_hurt, topic_prefix)
    await kafka_to_hurt.kill()
    ensuring = asyncio.create_task(ensure_topics(config, timeout_s=30))
    await kafka_to_hurt.start()
    assert await ensuring == []


async def test_embedded_broker_which_tells_little_makes_no_clash(own_directory):
    async with Tansu(own_directory / "tansu") as tansu:
        config = KafkaConfig(bootstrap_servers=tansu.bootstrap_servers, idempotence=False)
        assert await ensure_topics(config, timeout_s=20) == []
        assert await ensure_topics(config, timeout_s=20) == []
        clashes = await ensure_topics(replace(config, partitions=2), timeout_s=20)
        assert {clash.key for clash in clashes} == {"partitions"}
