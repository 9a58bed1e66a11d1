"""One aiokafka producer for batches, from its start to its end.

A failed batch leaves a gap in the idempotent numbering of its partition: every later batch of
that partition would be refused. So a producer lives until its first failure, and then the next
one takes over. That is a generation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from aiokafka.structs import TopicPartition

from streaming.config import KafkaConfig
from streaming.connection import bootstrapped, client_settings, cut_off, finish_within
from streaming.producing.batch_errors import (
    SEQUENCE_GAP,
    Action,
    BatchFailed,
    BatchVerdict,
    failure_of,
)
from streaming.producing.record_batch import RecordBatch
from streaming.topics import batch_bytes_at_most

_PATIENCE_S = 1e9
"""For ever: who sends decides when a batch has taken too long."""


class Generation:
    """A producer that is used until its first failure."""

    def __init__(self, config: KafkaConfig) -> None:
        self._timeout_s = config.request_timeout_ms / 1000
        self._producer = AIOKafkaProducer(
            **client_settings(config),
            acks="all",
            enable_idempotence=config.idempotence,
        )
        if config.idempotence:
            # aiokafka fails a batch whose partition has had no leader for `request_timeout_ms`,
            # and each slow restart of a broker would cost a producer. There is no setting for it
            # (0.14, pinned). Without idempotence a failed batch costs no producer, and it has
            # to come back so that it gets a new time stamp.
            self._producer._message_accumulator._batch_ttl = _PATIENCE_S  # noqa: SLF001
        self._under_way: set[asyncio.Future[Any]] = set()
        self._acked: set[TopicPartition] = set()
        self._refused: set[TopicPartition] = set()
        self.over: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Done, with the reason, once nobody is to wait for this producer any more."""
        self.failed = asyncio.Event()
        """A batch failed, or the driver's own task ended: make the next generation."""
        self.cause = ""
        """Why it failed."""
        self.proven = False
        """Whether anything was ever acknowledged."""

    async def start(self) -> None:
        """Connect. Raises what aiokafka raises, and `TimeoutError`."""
        # With idempotence, aiokafka asks for a producer id again and again, without an end.
        async with asyncio.timeout(2 * self._timeout_s):
            await bootstrapped(self._producer.start())
        self._sender_task.add_done_callback(lambda _: self.fail("the driver's sender ended"))

    @property
    def _sender_task(self) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._producer._sender.sender_task  # noqa: SLF001 - see close
        return task

    def fail(self, cause: str) -> None:
        """No new batch is to go through this producer."""
        if not self.failed.is_set():
            self.cause = cause
            self.failed.set()

    async def send(
        self, topic: str, partition: int, records: Sequence[bytes], timestamp_ms: int
    ) -> None:
        """Return once the batch of packed records is acknowledged, however long that takes.

        Raises `UnreadableRecord`, and `BatchFailed`; `may_be_in_log` where the generation ended
        first.
        """
        batch = _batch(topic, records, timestamp_ms)
        place = TopicPartition(topic, partition)
        ack = await self._submit(batch, place)
        self._under_way.add(ack)
        ack.add_done_callback(self._under_way.discard)
        ack.add_done_callback(_retrieve)
        await asyncio.wait({ack, self.over}, return_when=asyncio.FIRST_COMPLETED)
        if not ack.done():
            raise BatchFailed(BatchVerdict(Action.RENEW), self.over.result(), may_be_in_log=True)
        error = asyncio.CancelledError() if ack.cancelled() else ack.exception()
        if error is not None:
            raise self._failure(place, error)
        self._acked.add(place)
        self.proven = True

    async def settle(self, timeout_s: float) -> None:
        """Let the batches under way come to their end, for so long: a known end is no repeat."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)

    async def close(self, *, flush_s: float) -> None:
        """Flush for so long, then cut: while the broker is down, `stop()` alone hangs."""
        if not self.over.done():
            self.over.set_result(self.cause or "the producer was closed")
        if not await finish_within(self._producer.stop(), flush_s):
            await cut_off(self._producer.client, self._sender_task)
            self._fail_batches()

    def _fail_batches(self) -> None:
        """End the batches that are left: a task of `stop()` waits for them, for ever."""
        accumulator = self._producer._message_accumulator  # noqa: SLF001 - nobody else can
        batches: set[Any] = accumulator._pending_batches  # noqa: SLF001 - the same
        for queue in accumulator._batches.values():  # noqa: SLF001 - the same
            batches.update(queue)  # where a batch that was tried before expects itself
        for batch in batches:
            for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
                future.add_done_callback(_retrieve)
        accumulator.fail_all(ProducerClosed())

    async def _submit(self, batch: RecordBatch, place: TopicPartition) -> asyncio.Future[Any]:
        """Hand the batch to the driver. Nothing was sent where it raises."""
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                known = await self._producer.partitions_for(place.topic)
                _check_partition(known, place)
                ack: asyncio.Future[Any] = await self._producer.send_batch(
                    batch, place.topic, partition=place.partition
                )
        except BatchFailed:
            raise
        except Exception as error:  # the driver's errors have no common base
            raise failure_of(error, may_be_in_log=False) from error
        return ack

    def _failure(self, place: TopicPartition, error: BaseException) -> BatchFailed:
        failure = failure_of(error, may_be_in_log=True)
        if failure.code == SEQUENCE_GAP:
            # A gap in the numbering that we did not make: the broker's log was cut.
            failure.lost_records = place in self._acked and place not in self._refused
        self._refused.add(place)
        self.fail(failure.reason)
        return failure


def _batch(topic: str, records: Sequence[bytes], timestamp_ms: int) -> RecordBatch:
    batch = RecordBatch(records, timestamp_ms)
    if batch.size() > batch_bytes_at_most(topic):
        raise BatchFailed(BatchVerdict(Action.POISON), "larger than a batch can be")
    return batch


def _check_partition(known: Collection[int], place: TopicPartition) -> None:
    """Refuse what aiokafka would fail on by assertion."""
    if place.partition not in known:
        raise BatchFailed(
            BatchVerdict(Action.OPERATOR),
            f"the topic has {len(known)} partitions, wanted {place.partition + 1}",
        )


def _retrieve(ack: asyncio.Future[Any]) -> None:
    """Nobody may wait for it any more; asyncio complains of errors that nobody looked at."""
    if not ack.cancelled():
        ack.exception()
