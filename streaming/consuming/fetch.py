"""Takes records out of aiokafka's consumer, so that none is lost and none comes twice.

What one `getmany` gives belongs to the assignment under which it was taken, and is dropped
when that one is over: the slots start anew then. Between the end of `getmany` and the look at
the epoch nothing else runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from streaming.consuming.group import GroupMember
from streaming.consuming.records import ConsumedRecord, as_consumed
from streaming.consuming.slots import Partition
from streaming.consuming.unparsable import (
    Item,
    UnreadableOffset,
    is_parse_error,
    mend_fetch_count,
    read_around,
)
from streaming.errors import BrokerRefused
from streaming.translation import translated

_log = structlog.get_logger(__name__)

_FETCH_MS = 500
"""One `getmany`; a poll that waits longer makes several."""
_CALM_S = 0.2
"""After an error, so that one that comes back at once makes no busy loop."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one call took, and where it left the open partitions."""

    epoch: int
    items: Sequence[Item]
    positions: Mapping[Partition, int]


class RecordFetch:
    """Reads one member's consumers; `take` and `accept` follow each other."""

    def __init__(self, member: GroupMember, max_records: int) -> None:
        self._member = member
        self._slots = member.slots
        self._max_records = max_records

    async def take(self, consumer: AIOKafkaConsumer) -> Fetched:
        """What the consumer has, within half a second outside of a rebalance.

        Not to be cancelled while the consumer is in use: it would count as busy for ever.
        Raises `BrokerRefused` where the broker refuses the group or a topic.
        """
        items: Sequence[Item] = ()
        try:
            self._check_alive(consumer)
            batches = await consumer.getmany(timeout_ms=_FETCH_MS, max_records=self._max_records)
            items = [record for records in batches.values() for record in records]
        except Exception as error:  # noqa: BLE001 - parsing a strange record may raise anything
            mend_fetch_count(consumer)
            items = await self._after(consumer, error)
        return Fetched(self._slots.epoch, items, await self._positions(consumer))

    def accept(self, fetched: Fetched) -> list[ConsumedRecord]:
        """The records to hand out; the slots' positions move behind them."""
        if fetched.epoch != self._slots.epoch:
            return []
        records = []
        for item in fetched.items:
            partition = (item.topic, item.partition)
            position = self._slots.position(partition)
            # After a seek the driver may still hand out what it had buffered from before.
            if position is not None and item.offset >= position:
                self._slots.advance(partition, item.offset + 1)
                records.append(_consumed(item))
        for partition, offset in fetched.positions.items():
            self._slots.advance(partition, offset)  # behind control records and compacted ones
        return records

    def _check_alive(self, consumer: AIOKafkaConsumer) -> None:
        """A consumer whose background task ended gives nothing, for ever, without an error."""
        coordinator: Any = consumer._coordinator  # noqa: SLF001 - no public way to know
        fetcher: Any = consumer._fetcher  # noqa: SLF001 - the same
        tasks = coordinator._coordination_task, fetcher._fetch_task  # noqa: SLF001 - the same
        if any(task.done() for task in tasks):
            self._member.broke("a background task of the driver ended")

    async def _positions(self, consumer: AIOKafkaConsumer) -> dict[Partition, int]:
        # Open partitions have a position, so this does not wait and the epoch stays.
        return {
            partition: await consumer.position(TopicPartition(*partition))
            for partition in self._slots.open_partitions
        }

    async def _after(self, consumer: AIOKafkaConsumer, error: Exception) -> Sequence[Item]:
        if isinstance(error, OffsetOutOfRangeError):
            # Retention passed the place: look for a start by the clock again, as after a join.
            for partition in error.args[0]:
                _log.warning("place in the log is gone", slot=partition.partition)
                self._member.reopen(partition.partition)
            return ()
        if is_parse_error(error):
            return await self._around(consumer)
        if not await self._member.check_replaced():
            cause = translated(error)
            _log.warning("fetch failed", error=str(cause))
            await asyncio.sleep(_CALM_S)
            if isinstance(cause, BrokerRefused):
                raise cause from error
        return ()

    async def _around(self, consumer: AIOKafkaConsumer) -> Sequence[Item]:
        # Below here other tasks run, so a rebalance may change the slots at each await.
        epoch = self._slots.epoch
        places = {
            TopicPartition(*partition): self._slots.position(partition)
            for partition in self._slots.open_partitions
            if partition not in self._slots.paused
        }
        known = {partition: at for partition, at in places.items() if at is not None}
        try:
            items = await read_around(consumer, known)
        except Exception as error:  # noqa: BLE001 - the next call seeks and reads all this again
            mend_fetch_count(consumer)
            _log.warning("reading around a record failed", error=repr(error))
            items = []
            for partition, offset in known.items():
                if epoch == self._slots.epoch:
                    consumer.seek(partition, offset)
            await asyncio.sleep(_CALM_S)
        if epoch != self._slots.epoch:
            # A rebalance in between: some of it may have been taken from the new slots.
            for slot in {number for _, number in self._slots.open_partitions}:
                self._member.reopen(slot)
            return ()
        return items


def _consumed(item: Item) -> ConsumedRecord:
    if isinstance(item, UnreadableOffset):
        return ConsumedRecord(item.topic, item.partition, item.offset, 0, None, None, ())
    return as_consumed(item)
