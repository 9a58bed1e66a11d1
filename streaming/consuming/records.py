"""What a reader of the log hands out, and how it is timed: values, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiokafka.structs import ConsumerRecord

from streaming.events.codec import Header


@dataclass(frozen=True, slots=True)
class ConsumedRecord:
    """A record as it lies in the log; `streaming.events.codec.decode` reads it.

    One that cannot even be parsed has no key, no value, no headers and the time 0.
    """

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    """The broker's, where the topic is stamped on append."""
    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...]


def as_consumed(record: ConsumerRecord[bytes, bytes]) -> ConsumedRecord:
    """The driver's record as ours."""
    return ConsumedRecord(
        record.topic,
        record.partition,
        record.offset,
        record.timestamp,
        record.key,
        record.value,
        tuple(record.headers),
    )


class Committed(NamedTuple):
    """What the group keeps for a partition."""

    offset: int
    metadata: str
    """Empty with brokers that do not keep it."""


@dataclass(frozen=True, slots=True)
class Polled:
    """What happened since the last poll, to be handled in this order: lost, opened, records."""

    lost: frozenset[int] = frozenset()
    opened: frozenset[int] = frozenset()
    """A slot in both was taken away and given back: it starts anew."""
    records: Sequence[ConsumedRecord] = ()
    """In the order of each partition; only of slots that are open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderTiming:
    """How the group finds out about a dead member, and how much one poll gives.

    Raises `ValueError` naming the field and the bad value.
    """

    session_timeout_ms: int = 10_000
    """How long a member may be silent. With an instance id, also how long its slots stay
    without a reader after it stopped; a restart within this time moves nothing."""
    heartbeat_interval_ms: int = 1_000
    """Also how late a member hears of a rebalance."""
    max_poll_interval_ms: int = 60_000
    """How long the owner may not poll before its slots go to somebody else."""
    max_records: int = 1_000
    """Of one poll."""

    def __post_init__(self) -> None:
        """Check the ranges against each other."""
        if not 0 < 3 * self.heartbeat_interval_ms <= self.session_timeout_ms:
            raise ValueError(
                f"heartbeat_interval_ms={self.heartbeat_interval_ms} is more than a third of "
                f"session_timeout_ms={self.session_timeout_ms}"
            )
        if self.max_poll_interval_ms <= 0:
            raise ValueError(f"max_poll_interval_ms={self.max_poll_interval_ms} is out of range")
        if self.max_records <= 0:
            raise ValueError(f"max_records={self.max_records} is out of range")
