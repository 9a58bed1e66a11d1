"""Sends events to Kafka and says when it has them.

The live producer stands behind a `ProducerLink`. A failed batch burns it: the idempotent numbering
then has a hole, and everything after it would be refused, so the link is dropped and a new one
is made. Within one link, records of one key reach the log in the order in which they were
given; a caller that sends again after a `PublishTimeout` may repeat an event, never lose one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import structlog

from streaming.config import KafkaConfig
from streaming.connection import growing_waits, why_start_failed
from streaming.errors import (
    BrokerError,
    BrokerRefused,
    BrokerTimeout,
    BrokerUnavailable,
    ProducerFull,
    PublishTimeout,
    SequenceBroken,
)
from streaming.events.codec import WireRecord, encode
from streaming.events.event_types import Event
from streaming.partitioning import partition_for
from streaming.producing.producer_link import ProducerLink
from streaming.translation import translated, translating

_log = structlog.get_logger(__name__)

_CLOSE_S = 3.0
_ABANDON_S = 0.2


class EventProducer:
    """A producer that is always there; whether Kafka is shows at each `send`.

    Entering starts it in the background and never fails; leaving takes at most some seconds,
    with the broker dead too. `now` gives epoch seconds: the time stamp of each attempt, for
    brokers that do not stamp by themselves. Records that wait for their acknowledgement hold at
    most `max_pending_bytes`; more are refused with `ProducerFull`.
    """

    def __init__(
        self,
        config: KafkaConfig,
        *,
        now: Callable[[], float],
        max_pending_bytes: int = 16 * 1024 * 1024,
    ) -> None:
        self._config = config
        self._now = now
        self._max_pending_bytes = max_pending_bytes
        self._pending_bytes = 0
        self._link: ProducerLink | None = None
        self._linked = asyncio.Event()
        self._last_failure: BrokerError | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.last_success_at: float | None = None
        """Epoch seconds of the newest acknowledgement."""

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep_linked(), name="event-producer")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    @property
    def connected(self) -> bool:
        """Whether a connection to a broker stands. A silent broker is seen by `send` alone."""
        return self._link is not None and self._link.connected

    async def send(self, topic: str, events: Sequence[Event], *, timeout_s: float) -> None:
        """Returns when Kafka acknowledged every event. `topic` is the full name.

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
        placed = [(self._partition(record, partition), record) for record in records]
        self._reserve(sum(record.size_bytes for record in records))
        acks: list[asyncio.Future[Any]] = []
        failure: BrokerError | None = None
        try:
            with translating():
                async with asyncio.timeout_at(deadline):
                    await self._append(topic, placed, acks)
        except BrokerError as error:
            failure = error
        finally:
            self._pending_bytes -= sum(record.size_bytes for record in records[len(acks) :])
        await self._acknowledged(acks, len(records), deadline, failure)

    def _reserve(self, size_bytes: int) -> None:
        if self._pending_bytes + size_bytes > self._max_pending_bytes:
            raise ProducerFull(f"{self._pending_bytes} bytes wait for their acknowledgement")
        self._pending_bytes += size_bytes

    async def _ready_link(self) -> ProducerLink:
        while (link := self._link) is None or link.burnt.is_set():
            self._linked.clear()
            await self._linked.wait()
        return link

    def _partition(self, record: WireRecord, partition: int | None) -> int:
        if partition is not None:
            return partition
        if record.key is None:
            raise ValueError("a record without a key needs a partition")
        return partition_for(record.key, self._config.partitions)

    async def _append(
        self,
        topic: str,
        placed: Sequence[tuple[int, WireRecord]],
        acks: list[asyncio.Future[Any]],
    ) -> None:
        """Hand the records to the driver, one after the other; `acks` grows with each one."""
        link = await self._ready_link()
        await link.check_partitions(topic, max(partition for partition, _ in placed))
        for partition, record in placed:
            ack = await link.append(topic, partition, record, int(self._now() * 1000))
            ack.add_done_callback(partial(self._settle, link, record.size_bytes))
            acks.append(ack)

    def _settle(self, link: ProducerLink, size_bytes: int, ack: asyncio.Future[Any]) -> None:
        self._pending_bytes -= size_bytes
        error = None if ack.cancelled() else ack.exception()
        if error is None:
            self.last_success_at = self._now()
            link.proven = True
        elif not link.burnt.is_set():
            self._burn(link, translated(error))

    def _burn(self, link: ProducerLink, error: BrokerError) -> None:
        if isinstance(error, SequenceBroken):
            # The first failure of a link: the hole in the numbering is not of our making.
            _log.error("kafka lost acknowledged records or their numbering", code=error.code)
        else:
            _log.warning("producer burnt", reason=error.reason, code=error.code)
        link.burn("the producer was burnt before the acknowledgement")

    async def _acknowledged(
        self,
        acks: Sequence[asyncio.Future[Any]],
        wanted: int,
        deadline: float,
        failure: BrokerError | None,
    ) -> None:
        if acks:
            left_s = max(deadline - asyncio.get_running_loop().time(), 0)
            await asyncio.wait(acks, timeout=left_s)
        missing = [number for number, ack in enumerate(acks) if not _has_succeeded(ack)]
        missing += range(len(acks), wanted)
        if not missing:
            return
        if not acks:
            raise self._nothing_sent(failure) from failure
        cause = failure or next(map(_failure, filter(_has_failed, acks)), None)
        if isinstance(cause, BrokerRefused):
            raise cause
        raise PublishTimeout(
            f"{len(missing)} of {wanted} events not acknowledged", missing
        ) from cause

    def _nothing_sent(self, failure: BrokerError | None) -> BrokerError:
        if failure is not None and not isinstance(failure, BrokerTimeout):
            return failure
        if self._link is None and self._last_failure is not None:
            return self._last_failure
        return BrokerUnavailable("not ready within the deadline")

    async def _keep_linked(self) -> None:
        """Make a link, wait until it burns, make the next one; on cancellation close the last."""
        waits = growing_waits()
        while True:
            try:
                link = ProducerLink(self._config)
            except OSError as error:  # the CA file
                self._note_failure(translated(error))
            else:
                await self._live(link)
                if link.proven:
                    waits = growing_waits()
            await asyncio.sleep(next(waits))

    async def _live(self, link: ProducerLink) -> None:
        flush_s = _CLOSE_S
        try:
            await link.start(2 * self._config.request_timeout_ms / 1000)
            self._link = link
            self._linked.set()
            await link.burnt.wait()
            flush_s = _ABANDON_S
        except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may succeed
            self._note_failure(await why_start_failed(self._config, error))
        finally:
            self._link = None
            await link.close(flush_s=flush_s)

    def _note_failure(self, error: BrokerError) -> None:
        self._last_failure = error
        _log.warning("kafka producer not started", reason=str(error))


def _has_succeeded(ack: asyncio.Future[Any]) -> bool:
    return ack.done() and not ack.cancelled() and ack.exception() is None


def _has_failed(ack: asyncio.Future[Any]) -> bool:
    return ack.done() and not ack.cancelled() and ack.exception() is not None


def _failure(ack: asyncio.Future[Any]) -> BrokerError:
    return translated(ack.exception() or TimeoutError())
