"""Sends events to Kafka and says when it has them, for callers that keep nothing themselves.

Each call makes its own batches, and a partition carries one batch at a time: that keeps the
order of a key within a call, and a record that Kafka refuses concerns only the call that gave
it. A caller that sends again after a `PublishTimeout` may repeat an event, never lose one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

from streaming.errors import (
    BrokerError,
    BrokerRefused,
    BrokerTimeout,
    BrokerUnavailable,
    ProducerFull,
    PublishTimeout,
)
from streaming.events.codec import WireRecord, encode
from streaming.events.event_types import Event
from streaming.events.packing import pack
from streaming.partitioning import partition_for
from streaming.producing.batch_errors import Action, BatchFailed, BatchVerdict
from streaming.producing.batch_sender import BatchSender

_BATCH_BYTES = 256 * 1024
"""Times the partitions of all topics, one request stays far below a broker's 100 MB."""


class EventProducer:
    """Sends through a `BatchSender` that somebody else opens and closes, from inside of it.

    Records that wait for their acknowledgement hold at most `max_pending_bytes`; more are
    refused with `ProducerFull`. The driver repeats a batch without an end: one that is under way
    for `renew_s` gets a new producer. Leaving gives up what is under way, at once.
    """

    def __init__(
        self,
        sender: BatchSender,
        *,
        partitions: int,
        max_pending_bytes: int = 16 * 1024 * 1024,
        renew_s: float = 60.0,
    ) -> None:
        self._sender = sender
        self._partitions = partitions
        self._max_pending_bytes = max_pending_bytes
        self._renew_s = renew_s
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._running: set[asyncio.Task[None]] = set()
        self.pending_bytes = 0
        """Of records that are neither acknowledged nor given up."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def send(self, topic: str, events: Sequence[Event], *, timeout_s: float) -> None:
        """Return once Kafka acknowledged every event. `topic` is the full name.

        Raises:
            InvalidMessage: an event cannot be written; none was sent.
            BrokerUnavailable: nothing was sent.
            PublishTimeout: some were not acknowledged, or not by the deadline; they may be in
                the log or may still get there.
            BrokerRefused: the broker refuses the topic or a record.
        """
        await self.send_records(topic, [encode(event) for event in events], timeout_s=timeout_s)

    async def send_records(
        self,
        topic: str,
        records: Sequence[WireRecord],
        *,
        timeout_s: float,
        partition: int | None = None,
    ) -> None:
        """`send` for ready records; `partition` overrides the one that the key gives."""
        if not records:
            return
        deadline = asyncio.get_running_loop().time() + timeout_s
        shares = self._shares(topic, records, partition)
        self._reserve(sum(share.size_bytes for share in shares))
        try:
            await self._sender.ready(timeout_s)
        except BaseException as error:
            self.pending_bytes -= sum(share.size_bytes for share in shares)
            if isinstance(error, BatchFailed):
                raise _unsent(error.as_leaf()) from error
            raise
        failures = await self._deliver(shares, deadline)
        missing = sorted(place for share in shares for place in share.unacknowledged)
        if missing:
            cause = failures[0] if failures else None
            raise _failure(shares, failures, missing, len(records)) from cause

    def _shares(
        self, topic: str, records: Sequence[WireRecord], partition: int | None
    ) -> list[_Share]:
        shares: dict[int, _Share] = {}
        for place, record in enumerate(records):
            number = self._partition(record) if partition is None else partition
            share = shares.setdefault(number, _Share(topic, number))
            share.add(place, pack(record))
        return list(shares.values())

    def _partition(self, record: WireRecord) -> int:
        if record.key is None:
            raise ValueError("a record without a key needs a partition")
        return partition_for(record.key, self._partitions)

    def _reserve(self, size_bytes: int) -> None:
        if self.pending_bytes + size_bytes > self._max_pending_bytes:
            raise ProducerFull(f"{self.pending_bytes} bytes wait for their acknowledgement")
        self.pending_bytes += size_bytes

    async def _deliver(self, shares: Sequence[_Share], deadline: float) -> list[BatchFailed]:
        """Send every share; returns at the deadline at the latest, with what failed by then."""
        tasks = {self._start(share): share for share in shares}
        try:
            left_s = max(deadline - asyncio.get_running_loop().time(), 0)
            await asyncio.wait(tasks, timeout=left_s)
        finally:
            # What the driver has cannot be taken back, and keeps its bytes until it ends. What
            # still waits for its turn can, so that a caller's next attempt does not repeat it.
            for task, share in tasks.items():
                if not share.is_begun:
                    task.cancel()
        return list(_failures(tasks))

    def _start(self, share: _Share) -> asyncio.Task[None]:
        task = asyncio.create_task(self._send(share), name="event-producer")
        self._running.add(task)
        task.add_done_callback(partial(self._ended, share.size_bytes))
        return task

    def _ended(self, size_bytes: int, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self.pending_bytes -= size_bytes
        if not task.cancelled():
            task.exception()  # the caller may be gone; asyncio complains of what nobody looks at

    async def _send(self, share: _Share) -> None:
        async with self._turns[share.topic, share.partition]:
            share.is_begun = True
            for batch in share.batches():
                await self._send_batch(share, batch)
                share.acknowledged += len(batch)

    async def _send_batch(self, share: _Share, batch: Sequence[bytes]) -> None:
        size = sum(map(len, batch))
        try:
            async with asyncio.timeout(self._renew_s):
                await self._sender.send(share.topic, share.partition, batch, size=size)
        except TimeoutError:
            reason = "a batch came to no end"
            self._sender.renew(reason)
            raise BatchFailed(BatchVerdict(Action.RENEW), reason, may_be_in_log=True) from None


@dataclass(slots=True)
class _Share:
    """What one call sends to one partition."""

    topic: str
    partition: int
    places: list[int] = field(default_factory=list)
    """Of the records, within the call."""
    records: list[bytes] = field(default_factory=list)
    size_bytes: int = 0
    is_begun: bool = False
    acknowledged: int = 0

    def add(self, place: int, record: bytes) -> None:
        self.places.append(place)
        self.records.append(record)
        self.size_bytes += len(record)

    @property
    def unacknowledged(self) -> Sequence[int]:
        return self.places[self.acknowledged :]

    def batches(self) -> Iterator[Sequence[bytes]]:
        """The records in order, as many at a time as fit; one that is larger goes alone."""
        batch: list[bytes] = []
        size = 0
        for record in self.records:
            if batch and size + len(record) > _BATCH_BYTES:
                yield batch
                batch, size = [], 0
            batch.append(record)
            size += len(record)
        yield batch


def _failures(tasks: Iterable[asyncio.Task[None]]) -> Iterator[BatchFailed]:
    for task in tasks:
        if not task.done() or task.cancelled() or (error := task.exception()) is None:
            continue
        if not isinstance(error, BatchFailed):
            raise error
        yield error


def _failure(
    shares: Sequence[_Share], failures: Sequence[BatchFailed], missing: Sequence[int], total: int
) -> BrokerError:
    """What to tell a caller of whose records some are not acknowledged."""
    leaves = [failure.as_leaf() for failure in failures]
    if refusal := next((leaf for leaf in leaves if isinstance(leaf, BrokerRefused)), None):
        return refusal
    is_sent = any(share.acknowledged for share in shares)
    is_under_way = sum(share.is_begun for share in shares) > len(failures)
    if is_sent or is_under_way or any(failure.may_be_in_log for failure in failures):
        return PublishTimeout(f"{len(missing)} of {total} events not acknowledged", missing)
    return _unsent(leaves[0] if leaves else BrokerUnavailable("not sent within the deadline"))


def _unsent(error: BrokerError) -> BrokerError:
    """The error of a call of which nothing was sent: then a timeout leaves no doubt either."""
    return BrokerUnavailable(error.reason) if isinstance(error, BrokerTimeout) else error
