"""A group member's life: join, open slots, hear of rebalances, break, join again.

Each detail answers a trap of aiokafka 0.14. A start can fail and cannot be repeated, so a
consumer that broke is dropped and a new one made. Joining counts as one request, which a broker
holds until the whole group has answered. What a rebalance gives starts from the committed
offset at once, so new partitions are held back, within the callback and before its first await,
until each stands where the clock says. A callback that waits would stop the heartbeats, so the
search for that place happens outside of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.structs import TopicPartition

from streaming.config import KafkaConfig
from streaming.connection import (
    bootstrapped,
    client_settings,
    cut_off,
    finish_within,
    growing_waits,
    why_start_failed,
)
from streaming.consuming.fencing import is_replaced, member_id
from streaming.consuming.offsets import starts_at
from streaming.consuming.records import ReaderTiming
from streaming.consuming.slots import SlotTable
from streaming.errors import BrokerError, BrokerRefused, InstanceFenced, TopicMissing
from streaming.translation import translated, translating

_log = structlog.get_logger(__name__)

_STOP_S = 2.0
"""For leaving the group in order; after it the client is cut off."""
_JOIN_MARGIN_MS = 5_000
"""A join lasts until every member has answered, which takes a dead one's whole session."""
_MISSING = "a topic to read is not there yet"
_UNEVEN = "the topics to read have different numbers of partitions"


class GroupMember:
    """Keeps a consumer in its group; `slots` says what it holds. Owned by a `LogReader`."""

    def __init__(
        self,
        config: KafkaConfig,
        topics: Sequence[str],
        group_id: str,
        instance_id: str | None,
        *,
        rewind_ms: int,
        now_ms: Callable[[], int],
        timing: ReaderTiming,
    ) -> None:
        self._config = config
        self._topics = tuple(topics)
        self._group_id = group_id
        self._instance_id = instance_id
        self._rewind_ms = rewind_ms
        self._now_ms = now_ms
        self._timing = timing
        self._keeper: asyncio.Task[None] | None = None
        self._called = asyncio.Event()
        self._is_broken = False
        self._member = ""
        self.slots = SlotTable(topics)
        self.consumer: AIOKafkaConsumer | None = None
        """The one that is in the group; None while there is none."""
        self.fenced: InstanceFenced | None = None
        self.news = asyncio.Event()
        """Set on each change of slots, of the consumer, and when fenced."""

    def start(self) -> None:
        """Begin to join, in the background."""
        self._keeper = asyncio.create_task(self._keep_joined(), name="log-reader")

    async def stop(self) -> None:
        """End the membership; takes at most some seconds, with the broker dead too."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    def broke(self, reason: str) -> None:
        """The consumer is of no use any more: drop it and make a new one."""
        if not self._is_broken:
            _log.warning("consumer given up", group=self._group_id, reason=reason)
        self._is_broken = True
        self._called.set()

    def reopen(self, slot: int) -> None:
        """The slot's place in the log is gone: find it again."""
        self.slots.close(slot)
        if self.consumer is not None:
            self.consumer.pause(*self._partitions([slot]))
        self._called.set()
        self.news.set()

    async def check_replaced(self) -> bool:
        """Ask whether another process has our instance id; `fenced` is set then."""
        if self.fenced is not None or self.consumer is None or self._instance_id is None:
            return self.fenced is not None
        if await is_replaced(
            self.consumer,
            group_id=self._group_id,
            instance_id=self._instance_id,
            member=self._member,
            timeout_s=self._config.request_timeout_ms / 1000,
        ):
            _log.error("replaced in the group", instance_id=self._instance_id)
            self.fenced = InstanceFenced(self._instance_id)
            self.broke("replaced by another process")
        return self.fenced is not None

    async def _keep_joined(self) -> None:
        """Join, work until the consumer breaks, join again; on cancellation stop the last one."""
        waits = growing_waits()
        while self.fenced is None:
            try:
                consumer = self._new_consumer()
            except OSError as error:  # the CA file
                _log.warning("consumer not started", error=str(translated(error)))
            else:
                await self._live(consumer)
                if self._member:  # it was in the group, so what ended it is news: begin small
                    waits = growing_waits()
            await asyncio.sleep(next(waits))

    def _new_consumer(self) -> AIOKafkaConsumer:
        timing = self._timing
        settings = client_settings(self._config)
        settings["request_timeout_ms"] = max(
            self._config.request_timeout_ms, timing.session_timeout_ms + _JOIN_MARGIN_MS
        )
        return AIOKafkaConsumer(
            **settings,
            group_id=self._group_id,
            group_instance_id=self._instance_id,
            session_timeout_ms=timing.session_timeout_ms,
            heartbeat_interval_ms=timing.heartbeat_interval_ms,
            max_poll_interval_ms=timing.max_poll_interval_ms,
            partition_assignment_strategy=(RangePartitionAssignor,),
            fetch_max_wait_ms=self._config.fetch_max_wait_ms,
            enable_auto_commit=False,
            auto_offset_reset="none",
        )

    async def _live(self, consumer: AIOKafkaConsumer) -> None:
        self._is_broken, self._member = False, ""
        try:
            async with asyncio.timeout(3 * self._config.request_timeout_ms / 1000):
                await bootstrapped(consumer.start())
                await self._check_topics(consumer)
            # Before subscribing: the first rebalance asks for it.
            self.consumer = consumer
            consumer.subscribe(self._topics, listener=_Rebalances(self))
            self.news.set()
            while not self._is_broken:
                await self._called.wait()
                self._called.clear()
                await self._open_waiting(consumer)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may succeed
            cause = await why_start_failed(self._config, error)
            _log.warning("consumer not started", group=self._group_id, error=str(cause))
        finally:
            # Before the stop, which may take seconds: nobody is to ask a consumer that ends.
            self.consumer = None
            self.slots.revoke()
            self.news.set()
            await self._stop_consumer(consumer)

    async def _check_topics(self, consumer: AIOKafkaConsumer) -> None:
        """Join only once all topics are there: a static member that restarts is not the group's
        leader in its own eyes, and only the leader watches for topics to come.
        """
        cluster = await consumer._client.fetch_all_metadata()  # noqa: SLF001 - topics() has no counts
        counts = [len(cluster.partitions_for_topic(topic) or ()) for topic in self._topics]
        if not all(counts):
            raise TopicMissing(_MISSING)
        if len(set(counts)) > 1:
            raise BrokerRefused(_UNEVEN)

    async def _stop_consumer(self, consumer: AIOKafkaConsumer) -> None:
        coordinator: Any = consumer._coordinator  # noqa: SLF001 - its tasks outlive a hung stop()
        fetcher: Any = consumer._fetcher  # noqa: SLF001 - the same
        if self.fenced is not None and coordinator is not None:
            # It waits in `revoked`, and would go on to throw out our replacement.
            waiting: asyncio.Task[None] = coordinator._coordination_task  # noqa: SLF001 - the same
            waiting.cancel()
            await asyncio.wait({waiting})
        if await finish_within(consumer.stop(), _STOP_S):
            return
        tasks = [] if fetcher is None else [fetcher._fetch_task]  # noqa: SLF001 - the same
        if coordinator is not None:
            tasks += [
                coordinator._coordination_task,  # noqa: SLF001 - the same
                coordinator._heartbeat_task,  # noqa: SLF001 - the same
                coordinator._commit_refresh_task,  # noqa: SLF001 - the same
            ]
        await cut_off(consumer._client, *tasks)  # noqa: SLF001 - the same

    async def revoked(self) -> None:
        """A rebalance begins, or the group does not know us any more."""
        self.slots.revoke()
        self.news.set()
        consumer = self.consumer
        is_expelled = consumer is not None and self._member and not member_id(consumer)
        if is_expelled and await self.check_replaced():
            await asyncio.Event().wait()  # not to join again; ends with the consumer

    def assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """A rebalance ended. Hold everything back until it stands at its place."""
        consumer = self.consumer
        if consumer is None:
            return
        if len({len(consumer.partitions_for_topic(topic) or ()) for topic in self._topics}) > 1:
            self.broke(_UNEVEN)  # somebody added partitions to one of them
            return
        for partition in partitions:
            consumer.seek(partition, 0)  # a position of its own: the committed one is not asked
            consumer.pause(partition)
        self._member = member_id(consumer)
        self.slots.assign((partition.topic, partition.partition) for partition in partitions)
        _log.info("slots assigned", group=self._group_id, slots=self.slots.waiting)
        self._called.set()

    async def _open_waiting(self, consumer: AIOKafkaConsumer) -> None:
        """Open every slot that waits; tries again while the broker does not answer."""
        waits = growing_waits()
        while self.slots.waiting and not self._is_broken:
            try:
                await self._open(consumer, self.slots.waiting)
            except BrokerError as error:
                _log.warning("slots not opened yet", group=self._group_id, error=str(error))
                await asyncio.sleep(next(waits))

    async def _open(self, consumer: AIOKafkaConsumer, slots: Sequence[int]) -> None:
        epoch = self.slots.epoch
        partitions = self._partitions(slots)
        since_ms = max(self._now_ms() - self._rewind_ms, 0)
        with translating():
            async with asyncio.timeout(self._config.request_timeout_ms / 1000):
                starts = await starts_at(consumer, partitions, since_ms)
        if epoch != self.slots.epoch:
            return  # a rebalance came while the broker was asked; it gave new slots to open
        # No await from here on: a slot is open exactly when the driver stands at its start.
        for partition, offset in starts.items():
            consumer.seek(partition, offset)
            if (partition.topic, partition.partition) not in self.slots.paused:
                consumer.resume(partition)
        for slot in slots:
            self.slots.open(
                slot, {part.topic: at for part, at in starts.items() if part.partition == slot}
            )
        self.news.set()

    def _partitions(self, slots: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(*part) for slot in slots for part in self.slots.partitions_of(slot)]


class _Rebalances(ConsumerRebalanceListener):
    """aiokafka awaits what a listener returns, and swallows what it raises."""

    def __init__(self, member: GroupMember) -> None:
        self._member = member

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        del revoked  # everything is: the protocol is eager
        await self._member.revoked()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._member.assigned(assigned)
