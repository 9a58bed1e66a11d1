"""Offsets by time, and where a partition ends: asked on a connection of their own.

aiokafka asks on the connection that also fetches. A broker answers a connection's requests one
after the other and holds a fetch that finds nothing, so in a quiet log every question waits for
up to `fetch_max_wait_ms`. The group's connection is free.

The embedded broker needs two more things: it counts the last batch as one record when it is
asked for the end, so the high-water mark of a fetch is asked too; and it answers "no such
record" with the offset 0 and the time -1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.client import ConnectionGroup
from aiokafka.errors import LeaderNotAvailableError, RequestTimedOutError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.structs import TopicPartition

_LATEST = -1
_NONE = -1
_READ_UNCOMMITTED = 0
_FETCH_BYTES = 1
"""A broker sends at least one batch all the same, if there is one."""
_FETCH_WAIT_MS = 20
"""Apache Kafka answers at once, since no byte is asked for. The embedded broker waits so long,
and with 0 its answer is empty."""


async def log_ends(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    """The offset after the last record of each partition, as of now.

    Raises what aiokafka raises; the caller sets the deadline.
    """
    listed = await _list_offsets(consumer, dict.fromkeys(partitions, _LATEST))
    ends = {partition: offset for partition, (offset, _) in listed.items()}
    marks = await _high_water_marks(consumer, ends)
    return {partition: max(end, marks[partition]) for partition, end in ends.items()}


async def starts_at(
    consumer: AIOKafkaConsumer, partitions: Iterable[TopicPartition], since_ms: int
) -> dict[TopicPartition, int]:
    """The first offset of each partition whose record has this time or a later one, else its end.

    Raises what aiokafka raises; the caller sets the deadline.
    """
    # The ends first: a record that comes in between is read then, not skipped.
    starts = await log_ends(consumer, partitions)
    found = await _list_offsets(consumer, dict.fromkeys(starts, since_ms))
    starts.update(
        (partition, offset)
        for partition, (offset, timestamp) in found.items()
        if _NONE not in (offset, timestamp)
    )
    return starts


async def _list_offsets(
    consumer: AIOKafkaConsumer, times: Mapping[TopicPartition, int]
) -> dict[TopicPartition, tuple[int, int]]:
    """Offset and time for each partition; -1 for both where there is no such record."""
    found = {}
    for leader, topics in _by_leader(consumer, times, lambda part, ts: (part, ts)).items():
        answer = await _send(consumer, leader, OffsetRequest(-1, _READ_UNCOMMITTED, topics))
        for topic, partitions in answer.topics:
            for number, code, timestamp, offset, *_ in partitions:
                if code:
                    raise for_code(code)
                found[TopicPartition(topic, number)] = offset, timestamp
    return found


async def _high_water_marks(
    consumer: AIOKafkaConsumer, places: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """From a fetch that finds nothing new; -1 for a partition with an error."""
    marks = {}
    grouped = _by_leader(consumer, places, lambda part, at: (part, at, _FETCH_BYTES))
    for leader, topics in grouped.items():
        request = FetchRequest(_FETCH_WAIT_MS, 0, _FETCH_BYTES, _READ_UNCOMMITTED, topics)
        answer = await _send(consumer, leader, request)
        for topic, partitions in answer.topics:
            for number, code, mark, *_ in partitions:
                marks[TopicPartition(topic, number)] = _NONE if code else mark
    if marks.keys() != places.keys():
        raise RequestTimedOutError
    return marks


async def _send(consumer: AIOKafkaConsumer, leader: int, request: Any) -> Any:
    client = consumer._client  # noqa: SLF001 - the consumer has no way to name a connection
    return await client.send(leader, request, group=ConnectionGroup.COORDINATION)


def _by_leader(
    consumer: AIOKafkaConsumer, values: Mapping[TopicPartition, int], row: Any
) -> dict[int, list[tuple[str, list[Any]]]]:
    """Request rows by leading node and topic."""
    client = consumer._client  # noqa: SLF001 - see _send
    grouped: dict[int, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for partition, value in values.items():
        leader = client.cluster.leader_for_partition(partition)
        if leader is None or leader < 0:
            client.force_metadata_update()
            raise LeaderNotAvailableError
        grouped[leader][partition.topic].append(row(partition.partition, value))
    return {leader: list(topics.items()) for leader, topics in grouped.items()}
