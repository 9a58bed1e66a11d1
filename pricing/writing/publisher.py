"""The publish port: through the spool on this machine's disk, straight to Kafka, or to nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from fallback.errors import AppendTimedOut, SpoolError, SpoolFull, TooManyLanes
from fallback.observer import notify
from fallback.pump.delivery_waiters import DeliveryWaiters
from fallback.spool import Durability, Entry, Spool
from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.ports import CallObserver, Publisher, Receipt
from pricing.writing.spool_lanes import lane_of
from streaming.config import KafkaConfig
from streaming.errors import BrokerError, BrokerRefused, BrokerTimeout, ProducerFull
from streaming.events.codec import WireRecord, encode
from streaming.events.event_types import Event
from streaming.events.packing import pack
from streaming.partitioning import partition_for
from streaming.topics import DRIVER_STATUS, ZONE_PRICES, full_name

RELAXED = frozenset({DRIVER_STATUS})
"""Telemetry: a power cut may cost the last 100 ms of it. Every other topic is durable."""
NOT_SPOOLED = frozenset({ZONE_PRICES})
"""Can be computed again from the log."""

_APPEND_S = 2.0
"""How long an append may take; a full spool waits for room as long as this."""


class SpoolPublisher:
    """A `Publisher` over a spool and the pump that drains it; somebody else opens and closes both.

    An event is durable before `publish` returns. Its partition is fixed now, by its key and the
    pinned number of partitions, so that its place in the spool is its place among its key's
    events, whatever happens on the way. `on_append` gets the seconds of each append.
    """

    def __init__(
        self,
        spool: Spool,
        deliveries: DeliveryWaiters,
        config: KafkaConfig,
        *,
        wait_s: float,
        append_s: float = _APPEND_S,
        on_append: Callable[[float], None] | None = None,
    ) -> None:
        self._spool = spool
        self._deliveries = deliveries
        self._config = config
        self._wait_s = wait_s
        self._append_s = append_s
        self._on_append = on_append

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]:
        """Keep the events, then wait a moment for Kafka; `topic` is the name without the prefix.

        Raises `DependencySaturated` for a full spool, `DependencyTimeout` where nobody knows
        whether the events are kept, `DependencyUnavailable`, and `InvalidMessage` for an event
        that cannot be written.
        """
        if topic in NOT_SPOOLED:
            raise ValueError(f"{topic} is not spooled: it can be computed again")
        if not events:
            return []
        entries = [self._entry(topic, encode(event)) for event in events]
        seqs = await self._append(topic, entries)
        last = {entry.lane: seq for entry, seq in zip(entries, seqs, strict=True)}
        delivered = await self._deliveries.wait(last, self._wait_s)
        return [
            Receipt(event.id, "sent" if entry.lane in delivered else "buffered")
            for event, entry in zip(events, entries, strict=True)
        ]

    def _entry(self, topic: str, record: WireRecord) -> Entry:
        partition = partition_for(record.key or b"", self._config.partitions)
        return Entry(lane_of(full_name(self._config, topic), partition), pack(record))

    async def _append(self, topic: str, entries: Sequence[Entry]) -> range:
        durability = Durability.RELAXED if topic in RELAXED else Durability.DURABLE
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            seqs = await self._spool.append(
                entries, durability=durability, timeout_s=self._append_s
            )
        except SpoolError as error:
            raise as_spool_dependency_error(error) from error
        if self._on_append is not None:
            notify(self._on_append, now_s() - began_s)
        return seqs


class EventSender(Protocol):
    """The part of a producer that `KafkaPublisher` needs."""

    async def send(self, topic: str, events: Sequence[Event], *, timeout_s: float) -> None: ...


class KafkaPublisher:
    """A `Publisher` over a producer that somebody else opens and closes.

    For what can be computed again: an event that Kafka does not take is not kept.
    """

    def __init__(self, producer: EventSender, config: KafkaConfig, *, timeout_s: float) -> None:
        self._producer = producer
        self._config = config
        self._timeout_s = timeout_s

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]:
        """Send and wait for Kafka; `topic` is the name without the prefix."""
        try:
            await self._producer.send(
                full_name(self._config, topic), events, timeout_s=self._timeout_s
            )
        except BrokerError as error:
            raise as_dependency_error(error) from error
        return [Receipt(event.id, "sent") for event in events]


class NoPublisher:
    """A `Publisher` that takes nothing, for a disk that does not work."""

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]:
        """Raise `DependencyUnavailable`."""
        raise DependencyUnavailable("spool", f"no spool for {len(events)} events of {topic}")


@dataclass(frozen=True, slots=True)
class WatchedPublisher:
    """A publisher whose calls are observed as calls to `kafka`."""

    publisher: Publisher
    observers: Sequence[CallObserver] = field(kw_only=True)

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]:
        try:
            receipts = await self.publisher.publish(topic, events)
        except DependencyError as error:
            self._failed(error)
            raise
        if any(receipt.status == "buffered" for receipt in receipts):
            self._failed(DependencyTimeout("kafka", "no acknowledgement in time"))
        else:
            for observer in self.observers:
                observer.succeeded("kafka")
        return receipts

    def _failed(self, error: DependencyError) -> None:
        for observer in self.observers:
            observer.failed("kafka", error)


def as_dependency_error(error: BrokerError) -> DependencyError:
    """Kafka's failure in the application's words."""
    if isinstance(error, ProducerFull):
        return DependencySaturated("kafka", error.reason)
    if isinstance(error, BrokerTimeout):
        return DependencyTimeout("kafka", error.reason)
    if isinstance(error, BrokerRefused):
        return DependencyRefused("kafka", error.reason)
    return DependencyUnavailable("kafka", error.reason)


def as_spool_dependency_error(error: SpoolError) -> DependencyError:
    """The spool's failure in the application's words."""
    if isinstance(error, SpoolFull | TooManyLanes):
        return DependencySaturated("spool", "the spool is full")
    if isinstance(error, AppendTimedOut):
        if error.may_be_stored:
            return DependencyTimeout("spool", "no answer from the disk; the outcome is unknown")
        return DependencySaturated("spool", "the disk is too slow")
    return DependencyUnavailable("spool", "the spool takes no events")
