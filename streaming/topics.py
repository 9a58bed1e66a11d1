"""The topics: names, facts, and making sure that they exist."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from streaming.config import KafkaConfig
from streaming.connection import bootstrapped, client_settings, growing_waits
from streaming.errors import BrokerTimeout, BrokerUnavailable
from streaming.translation import translated, translating

_log = structlog.get_logger(__name__)

RIDE_REQUESTS = "ride-requests"
DRIVER_STATUS = "driver-status"
ZONE_PRICES = "zone-prices"
SYSTEM_MODES = "system-modes"
AUDIT = "audit"
INPUTS = (RIDE_REQUESTS, DRIVER_STATUS)
"""Read together, partition by partition: the same key, the same number of partitions."""
DLQ_SUFFIX = ".dlq"

_DAY_MS = 86_400_000
_BATCH_BYTES = 1_048_000
"""Just below a broker's default limit for a batch: one record of the greatest size fits."""
_DLQ_BATCH_BYTES = 2 * 1024 * 1024
_NO_ERROR, _TOPIC_EXISTS = 0, 36
_LOG_APPEND = {"message.timestamp.type": "LogAppendTime"}
# Retention by the writer's own time would delete a late replay right after its ack.
_INPUT = {**_LOG_APPEND, "cleanup.policy": "delete", "retention.ms": str(7 * _DAY_MS)}
_STATE = {**_LOG_APPEND, "cleanup.policy": "compact"}
# A change must not be compacted away before the projection has read it.
_MODES = {**_STATE, "min.compaction.lag.ms": str(7 * _DAY_MS)}
# Dead letters wait for a person, and hold records that were too large for their own topic.
_DLQ = {
    **_LOG_APPEND,
    "cleanup.policy": "delete",
    "retention.ms": str(30 * _DAY_MS),
    "max.message.bytes": str(_DLQ_BATCH_BYTES),
}
# Until the projection has it in Postgres, and long after.
_AUDIT = {**_LOG_APPEND, "cleanup.policy": "delete", "retention.ms": str(90 * _DAY_MS)}
_SETTINGS: Mapping[str, Mapping[str, str]] = {
    RIDE_REQUESTS: _INPUT,
    DRIVER_STATUS: _INPUT,
    ZONE_PRICES: _STATE,
    SYSTEM_MODES: _MODES,
    AUDIT: _AUDIT,
}
TOPICS = tuple(_SETTINGS)
"""What the service reads or writes; each of them has a dead-letter topic as well."""
_COMPARED = ("cleanup.policy", "message.timestamp.type")


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic as it should be. `name` carries the prefix."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TopicClash:
    """A topic that exists and differs from what this release needs."""

    topic: str
    key: str
    wanted: str
    found: str

    def __str__(self) -> str:
        return f"topic {self.topic}: {self.key} is {self.found}, wanted {self.wanted}"


def full_name(config: KafkaConfig, topic: str) -> str:
    """`ride-requests` → `equilibrium.ride-requests`."""
    return config.topic_prefix + topic


def dlq_of(topic: str) -> str:
    """The dead-letter topic of a topic; both with or both without the prefix."""
    return topic + DLQ_SUFFIX


def batch_bytes_at_most(topic: str) -> int:
    """How large a batch a topic takes, as it is created here."""
    return _DLQ_BATCH_BYTES if topic.endswith(DLQ_SUFFIX) else _BATCH_BYTES


def all_topics(config: KafkaConfig) -> list[TopicFacts]:
    """Every topic that the service uses, and the dead-letter topic of each."""
    # A copy whose topic is missing would wait in the spool, and its age degrades the mode.
    settings = {**_SETTINGS, **{dlq_of(topic): _DLQ for topic in TOPICS}}
    return [
        TopicFacts(full_name(config, topic), config.partitions, config.replication, wanted)
        for topic, wanted in settings.items()
    ]


async def ensure_topics(config: KafkaConfig, *, timeout_s: float) -> list[TopicClash]:
    """Create the topics that are missing, and report what differs in those that exist.

    Nothing that exists is changed. Safe to repeat, and to run in several processes at once.
    An unreachable broker is tried again until the deadline.

    Raises:
        BrokerError: the topics are not all there; `BrokerTimeout` where the reason is only
            that the deadline passed.
    """
    last: BrokerUnavailable | None = None
    try:
        async with asyncio.timeout(timeout_s):
            for wait_s in growing_waits():
                try:
                    return await _ensure(config, all_topics(config))
                except BrokerUnavailable as error:
                    last = error
                await asyncio.sleep(wait_s)
    except TimeoutError:
        raise last or BrokerTimeout("topics were not there within the deadline") from None
    raise AssertionError("unreachable: the waits never end")


async def _ensure(config: KafkaConfig, wanted: Sequence[TopicFacts]) -> list[TopicClash]:
    with translating():
        async with _admin(config) as admin:
            await _create(admin, wanted)
            partitions = await _partitions(admin, wanted)
            settings = await _settings(admin, [facts.name for facts in wanted])
    return list(_clashes(wanted, partitions, settings))


@asynccontextmanager
async def _admin(config: KafkaConfig) -> AsyncIterator[AIOKafkaAdminClient]:
    settings = client_settings(config)
    admin = AIOKafkaAdminClient(**settings)
    try:
        await bootstrapped(admin.start())
        yield admin
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, wanted: Sequence[TopicFacts]) -> None:
    existing = set(await admin.list_topics())
    missing = [
        NewTopic(facts.name, facts.partitions, facts.replication, topic_configs=facts.settings)
        for facts in wanted
        if facts.name not in existing
    ]
    if not missing:
        return
    answer: Any = await admin.create_topics(missing)
    for name, code, *_ in answer.topic_errors:
        if code == _NO_ERROR:
            _log.info("topic created", topic=name)
        elif code != _TOPIC_EXISTS:  # another process was quicker
            _log.warning("topic not created", topic=name, code=code)
            raise translated(for_code(code)())


async def _partitions(admin: AIOKafkaAdminClient, wanted: Sequence[TopicFacts]) -> dict[str, int]:
    """The number of partitions of each topic. Raises where one cannot be used yet."""
    described = await admin.describe_topics([facts.name for facts in wanted])
    for topic in described:
        for part in (topic, *topic["partitions"]):
            if part["error_code"] != _NO_ERROR:
                raise for_code(part["error_code"])
    return {topic["topic"]: len(topic["partitions"]) for topic in described}


async def _settings(
    admin: AIOKafkaAdminClient, names: Iterable[str]
) -> dict[str, dict[str, str | None]]:
    """The settings of each topic, as far as the broker tells them."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    try:
        answers: list[Any] = await admin.describe_configs(resources)
    except KafkaError as error:
        # The embedded broker closes the connection on requests that it cannot read.
        _log.info("the broker does not tell topic settings", error=type(error).__name__)
        return {}
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for answer in answers
        for _, _, _, name, entries in answer.resources
    }


def _clashes(
    wanted: Sequence[TopicFacts],
    partitions: Mapping[str, int],
    settings: Mapping[str, Mapping[str, str | None]],
) -> Iterable[TopicClash]:
    for facts in wanted:
        found = partitions.get(facts.name, facts.partitions)
        if found != facts.partitions:
            yield TopicClash(facts.name, "partitions", str(facts.partitions), str(found))
        told = settings.get(facts.name, {})
        for key in _COMPARED:
            value = told.get(key)
            if value is not None and value != facts.settings[key]:
                yield TopicClash(facts.name, key, facts.settings[key], value)
