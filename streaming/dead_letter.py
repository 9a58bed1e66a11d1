"""Puts what cannot be read aside, for a person, and keeps count.

A dead letter is the record as it was, key, value and headers, with `dlq_*` headers in front
that say where it lay and what was wrong. It goes to the same partition of `<topic>.dlq`.

There is a limit a minute: a bad release must not copy a whole topic. Above it, and where the
broker refuses the copy, a record is *withheld*: counted, its place logged, and not copied. It is
not lost, for it stays in its own topic until retention ends, and the log names the offsets.
The partition goes on either way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog

from streaming.consuming.records import ConsumedRecord
from streaming.errors import BrokerRefused, InvalidMessage, Reason
from streaming.events.codec import Header, WireRecord
from streaming.events.event_types import rfc3339
from streaming.topics import dlq_of

_log = structlog.get_logger(__name__)

_MINUTE_MS = 60_000


class RecordSender(Protocol):
    """The part of a producer that dead letters need."""

    async def send_records(
        self,
        topic: str,
        records: Sequence[WireRecord],
        *,
        timeout_s: float,
        partition: int | None = None,
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DlqLimit:
    """How much may be dead-lettered. Raises `ValueError` showing the bad value."""

    records_per_minute: int = 600

    def __post_init__(self) -> None:
        """Check the range."""
        if self.records_per_minute < 0:
            raise ValueError(f"records_per_minute={self.records_per_minute} is negative")


class Place(NamedTuple):
    """Where a record lay. `topic` is the full name."""

    topic: str
    partition: int
    offset: int
    """-1 for a record that never got one."""


@dataclass(slots=True)
class _Span:
    """The records of one partition that were withheld in the running minute."""

    first_offset: int
    last_offset: int
    count: int = 0


def dlq_headers(
    place: Place, *, reason: str, detail: str, attempts: int, now_ms: int
) -> list[Header]:
    """Where a dead letter comes from and why: the headers that stand before its own. Pure."""
    return [
        ("dlq_topic", place.topic.encode()),
        ("dlq_partition", str(place.partition).encode()),
        ("dlq_offset", str(place.offset).encode()),
        ("dlq_reason", reason.encode()),
        ("dlq_detail", detail.encode(errors="replace")),
        ("dlq_attempts", str(attempts).encode()),
        ("dlq_at", rfc3339(now_ms).encode()),
    ]


def dead_letter(
    record: ConsumedRecord, error: InvalidMessage, *, attempts: int, now_ms: int
) -> WireRecord:
    """The record for the dead-letter topic. Pure.

    Our headers come first: a dead letter that was sent again and failed again tells of its last
    failure, since readers take the first of equal headers.
    """
    about = dlq_headers(
        Place(record.topic, record.partition, record.offset),
        reason=error.reason,
        detail=error.detail,
        attempts=attempts,
        now_ms=now_ms,
    )
    # Kafka takes a record without key and value; aiokafka does not.
    value = b"" if record.key is None and record.value is None else record.value
    return WireRecord(record.key, value, (*about, *record.headers))


class DeadLetters:
    """Sends dead letters through a producer that somebody else opens and closes."""

    def __init__(
        self,
        producer: RecordSender,
        *,
        now_ms: Callable[[], int],
        limit: DlqLimit | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._producer = producer
        self._now_ms = now_ms
        self._limit = limit or DlqLimit()
        self._timeout_s = timeout_s
        self._minute = 0
        self._used = 0
        self._spans: dict[tuple[str, int], _Span] = {}
        self.sent: Counter[Reason] = Counter()
        self.withheld: Counter[Reason] = Counter()

    async def send(
        self, record: ConsumedRecord, error: InvalidMessage, *, attempts: int = 1
    ) -> None:
        """Returns when the record is in the dead-letter topic, or withheld.

        Raises:
            BrokerUnavailable, BrokerTimeout: Kafka does not take it now; send it again.
        """
        now_ms = self._now_ms()
        if not self._may_send(now_ms):
            self._withhold(record, error, "limit")
            return
        letter = dead_letter(record, error, attempts=attempts, now_ms=now_ms)
        try:
            await self._producer.send_records(
                dlq_of(record.topic),
                [letter],
                timeout_s=self._timeout_s,
                partition=record.partition,
            )
        except BrokerRefused as refusal:
            self._withhold(record, error, refusal.reason)
            return
        self._used += 1
        self.sent[error.reason] += 1
        _log.warning(
            "record dead-lettered",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=error.reason,
            detail=error.detail,
        )

    def _may_send(self, now_ms: int) -> bool:
        minute = now_ms // _MINUTE_MS
        if minute != self._minute:
            self._minute, self._used = minute, 0
            for (topic, partition), span in self._spans.items():
                _tell("dead letters were withheld", topic, partition, span)
            self._spans.clear()
        return self._used < self._limit.records_per_minute

    def _withhold(self, record: ConsumedRecord, error: InvalidMessage, why: str) -> None:
        self.withheld[error.reason] += 1
        span = self._spans.setdefault(
            (record.topic, record.partition), _Span(record.offset, record.offset)
        )
        span.last_offset = record.offset
        span.count += 1
        if span.count & (span.count - 1) == 0:  # 1, 2, 4, 8, …: a flood makes few lines
            _tell("dead letters withheld", record.topic, record.partition, span, why=why)


def _tell(event: str, topic: str, partition: int, span: _Span, **other: str) -> None:
    _log.error(
        event,
        topic=topic,
        partition=partition,
        first_offset=span.first_offset,
        last_offset=span.last_offset,
        count=span.count,
        **other,
    )
