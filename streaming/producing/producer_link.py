"""One aiokafka producer, from its start to its end."""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

from streaming.config import KafkaConfig
from streaming.connection import bootstrapped, client_settings, cut_off, finish_within
from streaming.errors import BrokerRefused, BrokerTimeout
from streaming.events.codec import WireRecord

_BATCH_BYTES = 256 * 1024
"""Times the partitions of all topics, one request stays far below a broker's 100 MB."""
_REQUEST_BYTES = 3 * 1024 * 1024
"""A dead letter may be a record that is larger than we send ourselves."""


class ProducerLink:
    """One aiokafka producer, from its start to its end."""

    def __init__(self, config: KafkaConfig) -> None:
        self._producer = AIOKafkaProducer(
            **client_settings(config),
            acks="all",
            enable_idempotence=config.idempotence,
            max_batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
        )
        self._pending: set[asyncio.Future[Any]] = set()
        self.burnt = asyncio.Event()
        self.proven = False
        """Whether anything was ever acknowledged."""

    async def start(self, timeout_s: float) -> None:
        """Connect. Raises what aiokafka raises, and `TimeoutError`."""
        # With idempotence, aiokafka asks for a producer id again and again, without an end.
        async with asyncio.timeout(timeout_s):
            await bootstrapped(self._producer.start())
        self._sender_task.add_done_callback(lambda _: self.burn("the driver's sender ended"))

    @property
    def _sender_task(self) -> asyncio.Task[None]:
        task: asyncio.Task[None] = self._producer._sender.sender_task  # noqa: SLF001 - see close
        return task

    @property
    def connected(self) -> bool:
        connections = self._producer.client._conns  # noqa: SLF001 - no public way to know
        return any(connection.connected() for connection in connections.values())

    async def check_partitions(self, topic: str, highest: int) -> None:
        """Wait for the topic's metadata; refuse what aiokafka would fail on by assertion."""
        known = await self._producer.partitions_for(topic)
        if highest not in known:
            raise BrokerRefused(f"the topic has {len(known)} partitions, wanted {highest + 1}")

    async def append(
        self, topic: str, partition: int, record: WireRecord, timestamp_ms: int
    ) -> asyncio.Future[Any]:
        ack: asyncio.Future[Any] = await self._producer.send(
            topic,
            record.value,
            record.key,
            partition=partition,
            timestamp_ms=timestamp_ms,
            headers=list(record.headers),
        )
        self._pending.add(ack)
        ack.add_done_callback(self._pending.discard)
        if self.burnt.is_set():
            self._give_up("the producer was burnt before the acknowledgement")
        return ack

    def burn(self, reason: str) -> None:
        """Mark it as useless, and release everybody who waits: nobody else ends their futures."""
        self.burnt.set()
        self._give_up(reason)

    def _give_up(self, reason: str) -> None:
        for ack in list(self._pending):
            if not ack.done():
                ack.set_exception(BrokerTimeout(reason))

    async def close(self, *, flush_s: float) -> None:
        """Flush for so long, then cut: while the broker is down, `stop()` alone hangs."""
        if not await finish_within(self._producer.stop(), flush_s):
            await cut_off(self._producer.client, self._sender_task)
            self._end_flush()
        self.burn("the producer was closed before the acknowledgement")

    def _end_flush(self) -> None:
        """`stop()` left a task behind that waits for every batch; end it, without an error."""
        accumulator: Any = self._producer._message_accumulator  # noqa: SLF001 - it has no end
        waiting: set[Any] = accumulator._pending_batches  # noqa: SLF001 - the same
        for queue in accumulator._batches.values():  # noqa: SLF001 - the same
            waiting.update(queue)  # where a batch that was tried before expects itself
        for batch in list(waiting):
            batch.future.cancel()
