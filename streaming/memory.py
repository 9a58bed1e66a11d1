"""Kafka in memory: the same promises as `EventProducer` and `LogReader`, for tests.

Records are stamped on append by the broker's own clock, which the caller injects. Topics come
into being when they are named. What takes seconds in Kafka happens at once here: a rebalance,
the end of a session (`end_session`), an outage (`is_down`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import TracebackType
from typing import Self

from streaming.consuming.records import Committed, ConsumedRecord, Polled, ReaderTiming
from streaming.consuming.slots import Partition, SlotTable
from streaming.errors import (
    BrokerTimeout,
    BrokerUnavailable,
    InstanceFenced,
    MembershipLost,
    PublishTimeout,
)
from streaming.events.codec import WireRecord, encode
from streaming.events.event_types import Event
from streaming.partitioning import partition_for


class MemoryBroker:
    """The log and the groups. `now_ms` stamps what is appended."""

    def __init__(self, *, now_ms: Callable[[], int], partitions: int = 6) -> None:
        self.now_ms = now_ms
        self.partitions = partitions
        self.loses_acks = False
        """While set, records are stored and their writers are not told."""
        self._is_down = False
        self._logs: defaultdict[Partition, list[ConsumedRecord]] = defaultdict(list)
        self._groups: defaultdict[str, _Group] = defaultdict(lambda: _Group(partitions))
        self._changed = asyncio.Event()

    @property
    def is_down(self) -> bool:
        """Set it to make every call fail, or wait for its deadline."""
        return self._is_down

    @is_down.setter
    def is_down(self, value: bool) -> None:
        self._is_down = value
        self.notify()

    def append(self, topic: str, partition: int, record: WireRecord) -> int:
        """Store a record; returns its offset."""
        log = self._logs[topic, partition]
        log.append(
            ConsumedRecord(
                topic,
                partition,
                len(log),
                self.now_ms(),
                record.key,
                record.value,
                record.headers,
            )
        )
        self.notify()
        return len(log) - 1

    def log(self, topic: str, partition: int) -> Sequence[ConsumedRecord]:
        """Everything in a partition."""
        return self._logs[topic, partition]

    def topic(self, topic: str) -> list[ConsumedRecord]:
        """Everything in a topic, partition by partition."""
        return [record for number in range(self.partitions) for record in self.log(topic, number)]

    def group(self, group_id: str) -> _Group:
        return self._groups[group_id]

    def end_session(self, group_id: str, instance_id: str) -> None:
        """What Kafka does when a static member stays away: its slots go to the others."""
        self._groups[group_id].remove(instance_id)
        self.notify()

    def notify(self) -> None:
        """Wake everybody who waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed_by(self, deadline: float) -> bool:
        """Wait for a change; False once the loop's clock reaches the deadline."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True


class MemoryProducer:
    """An `EventProducer` that writes to a `MemoryBroker`."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def send(self, topic: str, events: Sequence[Event], *, timeout_s: float) -> None:
        await self.send_records(topic, [encode(event) for event in events], timeout_s=timeout_s)

    async def send_records(
        self,
        topic: str,
        records: Sequence[WireRecord],
        *,
        timeout_s: float,
        partition: int | None = None,
    ) -> None:
        deadline = asyncio.get_running_loop().time() + timeout_s
        placed = [(self._partition(record, partition), record) for record in records]
        while self._broker.is_down:
            if not await self._broker.changed_by(deadline):
                raise BrokerUnavailable("not connected yet")
        for number, record in placed:
            self._broker.append(topic, number, record)
        if self._broker.loses_acks:
            raise PublishTimeout("not acknowledged", range(len(records)))

    def _partition(self, record: WireRecord, partition: int | None) -> int:
        if partition is not None:
            return partition
        if record.key is None:
            raise ValueError("a record without a key needs a partition")
        return partition_for(record.key, self._broker.partitions)


@dataclass(slots=True)
class _Group:
    """Members in the order of joining, and what they hold. None for one who may come back."""

    partitions: int
    members: dict[str, MemoryLogReader | None] = field(default_factory=dict)
    committed: dict[Partition, Committed] = field(default_factory=dict)

    def join(self, name: str, reader: MemoryLogReader) -> None:
        is_restart = name in self.members
        if (older := self.members.get(name)) is not None:
            older.fence()
        self.members[name] = reader
        if is_restart:
            self._assign(name)
        else:
            self._rebalance()

    def leave(self, name: str, reader: MemoryLogReader, *, is_static: bool) -> None:
        if self.members.get(name) is not reader:
            return
        if is_static:
            self.members[name] = None
        else:
            self.remove(name)

    def remove(self, name: str) -> None:
        self.members.pop(name, None)
        self._rebalance()

    def _rebalance(self) -> None:
        for name in self.members:
            self._assign(name)

    def _assign(self, name: str) -> None:
        reader = self.members[name]
        if reader is None:
            return
        count, place = len(self.members), list(self.members).index(name)
        bounds = [number * self.partitions // count for number in range(count + 1)]
        first, end = list(pairwise(bounds))[place]
        reader.assign(range(first, end))


class MemoryLogReader:
    """A `LogReader` of a `MemoryBroker`. Without `now_ms` it has the broker's clock."""

    def __init__(
        self,
        broker: MemoryBroker,
        topics: Sequence[str],
        group_id: str,
        instance_id: str | None = None,
        *,
        rewind_ms: int,
        now_ms: Callable[[], int] | None = None,
        timing: ReaderTiming | None = None,
    ) -> None:
        self.topics = tuple(topics)
        self._broker = broker
        self._group = broker.group(group_id)
        self._instance_id = instance_id
        self._name = instance_id or f"member-{id(self)}"
        self._rewind_ms = rewind_ms
        self._now_ms = now_ms or broker.now_ms
        self._max_records = (timing or ReaderTiming()).max_records
        self._slots = SlotTable(topics)
        self._fenced: InstanceFenced | None = None

    async def __aenter__(self) -> Self:
        self._group.join(self._name, self)
        self._broker.notify()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._slots.revoke()
        self._group.leave(self._name, self, is_static=self._instance_id is not None)
        self._broker.notify()

    def assign(self, slots: Sequence[int]) -> None:
        """The group gives these slots and takes all others."""
        self._slots.assign((topic, slot) for topic in self.topics for slot in slots)

    def fence(self) -> None:
        """Another reader took our place."""
        self._slots.revoke()
        self._fenced = InstanceFenced(self._name)

    async def poll(self, timeout_s: float) -> Polled:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while True:
            if self._fenced is not None:
                raise self._fenced
            if not self._broker.is_down:
                self._open_waiting()
            opened, lost = self._slots.changes()
            records = [] if self._broker.is_down else self._take()
            if opened or lost or records or not await self._broker.changed_by(deadline):
                return Polled(lost, opened, records)

    def positions(self, slot: int) -> Mapping[str, int]:
        found = {part[0]: self._slots.position(part) for part in self._slots.partitions_of(slot)}
        return {topic: offset for topic, offset in found.items() if offset is not None}

    async def end_offsets(self, slot: int) -> Mapping[str, int]:
        self._check(slot)
        return {topic: len(self._broker.log(topic, slot)) for topic in self.topics}

    async def commit(self, slot: int, offsets: Mapping[str, int], metadata: str = "") -> bool:
        if not self._slots.is_open(slot):
            return False
        self._check(slot)
        for topic, offset in offsets.items():
            self._group.committed[topic, slot] = Committed(offset, metadata)
        return True

    async def committed(self, slot: int) -> Mapping[str, Committed]:
        self._check(slot)
        kept = self._group.committed
        return {part[0]: kept[part] for part in self._slots.partitions_of(slot) if part in kept}

    def pause(self, topic: str, slot: int) -> None:
        self._slots.paused.add((topic, slot))

    def resume(self, topic: str, slot: int) -> None:
        self._slots.paused.discard((topic, slot))
        self._broker.notify()

    def _check(self, slot: int) -> None:
        if not self._slots.is_open(slot):
            raise MembershipLost("the slot is not open")
        if self._broker.is_down:
            raise BrokerTimeout("no answer within the deadline")

    def _open_waiting(self) -> None:
        since_ms = self._now_ms() - self._rewind_ms
        for slot in self._slots.waiting:
            starts = {}
            for topic in self.topics:
                log = self._broker.log(topic, slot)
                later = (record.offset for record in log if record.timestamp_ms >= since_ms)
                starts[topic] = next(later, len(log))
            self._slots.open(slot, starts)

    def _take(self) -> list[ConsumedRecord]:
        records: list[ConsumedRecord] = []
        for partition in list(self._slots.open_partitions):
            position = self._slots.position(partition)
            if position is None or partition in self._slots.paused:
                continue
            room = self._max_records - len(records)
            taken = self._broker.log(*partition)[position : position + room]
            self._slots.advance(partition, position + len(taken))
            records += taken
        return records
