"""Reads slots: partition `n` of several topics together, from a moment in the past.

One member of a consumer group. The topics have the same number of partitions and the group
assigns ranges, so that whoever has partition `n` of one topic has it of all. Offsets kept by
the group only say what was done with the records; where reading starts, the clock says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from streaming.config import KafkaConfig
from streaming.consuming.fetch import Fetched, RecordFetch
from streaming.consuming.group import GroupMember
from streaming.consuming.offsets import log_ends
from streaming.consuming.records import Committed, ConsumedRecord, Polled, ReaderTiming
from streaming.errors import MembershipLost
from streaming.translation import translating

__all__ = ["Committed", "ConsumedRecord", "LogReader", "Polled", "ReaderTiming"]

_log = structlog.get_logger(__name__)


class LogReader:
    """One group member that reads the slots which the group gives it.

    Entering starts it in the background and never fails; leaving takes some seconds at most.
    `instance_id` makes the membership static: the slots wait for a restart, and of two
    processes with the same id the older one ends with `InstanceFenced`. For one caller: no two
    polls at the same time. `now_ms` is the wall clock, in epoch ms.
    """

    def __init__(
        self,
        config: KafkaConfig,
        topics: Sequence[str],
        group_id: str,
        instance_id: str | None = None,
        *,
        rewind_ms: int,
        now_ms: Callable[[], int],
        timing: ReaderTiming | None = None,
    ) -> None:
        self.topics = tuple(topics)
        self._timing = timing or ReaderTiming()
        self._answer_s = config.request_timeout_ms / 1000
        self._member = GroupMember(
            config,
            topics,
            group_id,
            instance_id,
            rewind_ms=rewind_ms,
            now_ms=now_ms,
            timing=self._timing,
        )
        self._slots = self._member.slots
        self._fetch = RecordFetch(self._member, self._timing.max_records)
        self._fetching: tuple[AIOKafkaConsumer, asyncio.Task[Fetched]] | None = None

    async def __aenter__(self) -> Self:
        self._member.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._fetching is not None:
            self._fetching[1].cancel()
            await asyncio.wait({self._fetching[1]})
        await self._member.stop()

    async def poll(self, timeout_s: float) -> Polled:
        """Wait for news, at most so long: slots lost and opened, and records of open slots.

        Nothing for a long time says nothing about the broker: a dead one gives no records
        either. `end_offsets` tells.

        Raises:
            InstanceFenced: another process took this one's place; for good.
            BrokerRefused: the broker refuses the group or a topic; a later poll may succeed.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        records: Sequence[ConsumedRecord] = ()
        while True:
            if self._member.fenced is not None:
                raise self._member.fenced
            opened, lost = self._slots.changes()
            if opened or lost or records or loop.time() >= deadline:
                return Polled(lost, opened, records)
            records = await self._take(deadline - loop.time())

    def positions(self, slot: int) -> Mapping[str, int]:
        """By topic, the offset of the next record to come; empty for a slot that is not open."""
        found = {part[0]: self._slots.position(part) for part in self._slots.partitions_of(slot)}
        return {topic: offset for topic, offset in found.items() if offset is not None}

    async def end_offsets(self, slot: int) -> Mapping[str, int]:
        """By topic, the offset after the last record, as of now.

        Raises `MembershipLost` for a slot that is not open, else a `BrokerError`.
        """
        async with self._asking(slot) as consumer:
            ends = await log_ends(consumer, self._partitions(slot))
        return {partition.topic: end for partition, end in ends.items()}

    async def commit(self, slot: int, offsets: Mapping[str, int], metadata: str = "") -> bool:
        """Keep `offsets` (the next to handle, by topic) with the group.

        Returns False where the slot is not ours any more: its next owner handles the records
        again. Raises `BrokerError` where the broker does not take it.
        """
        values = {
            TopicPartition(topic, slot): OffsetAndMetadata(at, metadata)
            for topic, at in offsets.items()
        }
        try:
            async with self._asking(slot) as consumer:
                # commit() tries again without an end, and shields a request that outlives it.
                coordinator: Any = consumer._coordinator  # noqa: SLF001 - see above
                await coordinator.ensure_coordinator_known()
                await coordinator._do_commit_offsets(None, values)  # noqa: SLF001 - see above
        except MembershipLost as error:
            _log.info("commit dropped", slot=slot, error=error.reason)
            return False
        return True

    async def committed(self, slot: int) -> Mapping[str, Committed]:
        """What the group keeps for the slot; topics without a commit are absent.

        Raises `MembershipLost` for a slot that is not open, else a `BrokerError`.
        """
        async with self._asking(slot) as consumer:
            coordinator: Any = consumer._coordinator  # noqa: SLF001 - committed() has no metadata
            found = await coordinator.fetch_committed_offsets(self._partitions(slot))
        return {
            partition.topic: Committed(kept.offset, kept.metadata or "")
            for partition, kept in found.items()
        }

    def pause(self, topic: str, slot: int) -> None:
        """Hand out nothing of this partition until `resume`, through every rebalance."""
        self._slots.paused.add((topic, slot))
        if self._member.consumer is not None and self._slots.is_open(slot):
            self._member.consumer.pause(TopicPartition(topic, slot))

    def resume(self, topic: str, slot: int) -> None:
        """End a pause; without one, nothing happens."""
        self._slots.paused.discard((topic, slot))
        if self._member.consumer is not None and self._slots.is_open(slot):
            self._member.consumer.resume(TopicPartition(topic, slot))

    def _partitions(self, slot: int) -> list[TopicPartition]:
        return [TopicPartition(*part) for part in self._slots.partitions_of(slot)]

    @asynccontextmanager
    async def _asking(self, slot: int) -> AsyncIterator[AIOKafkaConsumer]:
        """The consumer, for a question about an open slot, under a deadline."""
        consumer = self._member.consumer
        if consumer is None or not self._slots.is_open(slot):
            raise MembershipLost("the slot is not open")
        with translating():
            async with asyncio.timeout(self._answer_s):
                yield consumer

    async def _take(self, wait_s: float) -> Sequence[ConsumedRecord]:
        """Records, or nothing after `wait_s` or on news.

        The task that fetches from the driver outlives a poll: cancelling `getmany` leaves the
        consumer "busy", and through a rebalance it waits without an end.
        """
        self._member.news.clear()
        news = asyncio.ensure_future(self._member.news.wait())
        # Made before the wait and kept after it: what it gives is handed out by a later poll.
        fetching = self._current_fetch()
        try:
            await asyncio.wait(
                {news} if fetching is None else {news, fetching},
                timeout=max(wait_s, 0),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            news.cancel()
        if fetching is None or not fetching.done():
            return ()
        self._fetching = None
        return self._fetch.accept(fetching.result())

    def _current_fetch(self) -> asyncio.Task[Fetched] | None:
        consumer = self._member.consumer
        if self._fetching is not None and self._fetching[0] is not consumer:
            self._fetching[1].cancel()  # its consumer is gone, and so are its slots
            self._fetching = None
        if self._fetching is None and consumer is not None:
            self._fetching = consumer, asyncio.create_task(self._fetch.take(consumer))
        return None if self._fetching is None else self._fetching[1]
