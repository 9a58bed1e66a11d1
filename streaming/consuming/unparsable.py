"""Reading on behind a record that aiokafka cannot parse.

A header name that is not UTF-8, or a batch with a wrong checksum, makes `getmany` raise at the
same place for ever, and what that call had already taken from other partitions is gone. Here
each partition is read by itself from a known position, and an offset that cannot be read
becomes a `UnreadableOffset`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    ConsumerStoppedError,
    CorruptRecordException,
    KafkaError,
    UnsupportedCodecError,
)
from aiokafka.structs import ConsumerRecord, TopicPartition

from streaming.consuming.offsets import log_ends

_log = structlog.get_logger(__name__)

_RECORDS_AT_MOST = 1_000
"""Per call and partition."""
_WAIT_MS = 3_000
"""For one fetch: there are records, so the broker has them at hand."""


@dataclass(frozen=True, slots=True)
class UnreadableOffset:
    """An offset whose record cannot be parsed."""

    topic: str
    partition: int
    offset: int


Item = ConsumerRecord[bytes, bytes] | UnreadableOffset


def is_parse_error(error: Exception) -> bool:
    """Whether `getmany` failed on the bytes of a record."""
    if isinstance(error, CorruptRecordException | UnsupportedCodecError):
        return True
    return not isinstance(error, KafkaError | ConsumerStoppedError | OSError)


def mend_fetch_count(consumer: AIOKafkaConsumer) -> None:
    """Undo what an error inside `getmany` leaves: a count of fetches that never ends.

    With it the consumer counts as busy for ever, and `max_poll_interval_ms` has no effect.
    """
    consumer._subscription._fetch_count = 0  # noqa: SLF001 - aiokafka has no `finally` there


async def read_around(
    consumer: AIOKafkaConsumer, positions: Mapping[TopicPartition, int]
) -> list[Item]:
    """What comes next in each partition, with a `UnreadableOffset` for what cannot be parsed.

    Reads from `positions` and leaves the consumer behind the last item of each partition.
    Raises what aiokafka raises for other reasons; nothing is lost then, for the next call seeks
    the caller's positions again.
    """
    for partition, offset in positions.items():
        consumer.seek(partition, offset)
    ends = await log_ends(consumer, positions)
    items: list[Item] = []
    for partition, offset in positions.items():
        if offset < ends[partition]:
            items += await _read_one(consumer, partition, offset)
    return items


async def _read_one(
    consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int
) -> list[Item]:
    try:
        return [*await _take(consumer, partition, _RECORDS_AT_MOST)]
    except Exception as error:
        if not is_parse_error(error):
            raise
    consumer.seek(partition, offset)
    items: list[Item] = []
    is_past_gap = False
    while len(items) < _RECORDS_AT_MOST:
        try:
            records = await _take(consumer, partition, 1)
        except Exception as error:
            if not is_parse_error(error):
                raise
            items.append(await _step_over(consumer, partition, error))
            is_past_gap = True
            continue
        items += records
        if is_past_gap or not records:
            break
    return items


async def _take(
    consumer: AIOKafkaConsumer, partition: TopicPartition, max_records: int
) -> list[ConsumerRecord[bytes, bytes]]:
    batches = await consumer.getmany(partition, timeout_ms=_WAIT_MS, max_records=max_records)
    return batches.get(partition, [])


async def _step_over(
    consumer: AIOKafkaConsumer, partition: TopicPartition, error: Exception
) -> UnreadableOffset:
    """Seek behind the record at the current position. The rest of its batch follows, step by
    step: aiokafka parses a batch from its start, so the bad record fails those behind it too.
    """
    mend_fetch_count(consumer)
    offset = await consumer.position(partition)
    consumer.seek(partition, offset + 1)
    _log.error(
        "record cannot be parsed",
        topic=partition.topic,
        partition=partition.partition,
        offset=offset,
        error=type(error).__name__,
    )
    return UnreadableOffset(partition.topic, partition.partition, offset)
