"""Kafka as the pump's sink: lanes are partitions, bodies are packed records.

The only place that knows both the pump's failures and Kafka's verdicts.
"""

from __future__ import annotations

from collections.abc import Sequence

from fallback.pump.sink import NeedsOperator, Poison, RetryLater, SinkFailure, SinkReset
from pricing.writing.spool_lanes import place_of, topic_of
from streaming.events.packing import UnreadableRecord
from streaming.producing.batch_errors import Action, BatchFailed
from streaming.producing.batch_sender import BatchSender

LOST_RECORDS = "lost_records"
"""The alarm that the broker's log ends before what it had acknowledged."""


class KafkaSink:
    """A `fallback.pump.sink.Sink` over a sender that somebody else opens and closes."""

    def __init__(self, sender: BatchSender) -> None:
        self._sender = sender

    def group_of(self, lane: bytes) -> str:
        """The topic."""
        return topic_of(lane)

    async def send(self, lane: bytes, bodies: Sequence[bytes]) -> None:
        """Return once Kafka has every record."""
        try:
            topic, partition = place_of(lane)
        except ValueError as error:
            raise _unreadable() from error
        try:
            await self._sender.send(topic, partition, bodies, size=sum(map(len, bodies)))
        except UnreadableRecord as error:
            raise _unreadable() from error
        except BatchFailed as failure:
            raise as_sink_failure(failure, topic) from failure

    async def diagnose(self, lane: bytes) -> SinkFailure | None:
        """Ask a broker why the partition takes nothing."""
        topic, partition = place_of(lane)
        failure = await self._sender.why_stalled(topic, partition)
        return None if failure is None else as_sink_failure(failure, topic)

    def renew(self, reason: str) -> None:
        """Begin with a new producer."""
        self._sender.renew(reason)


def _unreadable() -> Poison:
    return Poison("the spool holds what is no record", code="unreadable")


def as_sink_failure(failure: BatchFailed, topic: str) -> SinkFailure:
    """The pump's word for what happened to a batch of a topic."""
    code = "" if failure.code is None else str(failure.code)
    unknown = failure.may_be_in_log
    match failure.verdict.action:
        case Action.RETRY:
            return RetryLater(failure.reason, code=code, may_be_delivered=unknown)
        case Action.RENEW:
            alarm = LOST_RECORDS if failure.lost_records else None
            return SinkReset(failure.reason, code=code, may_be_delivered=unknown, alarm=alarm)
        case Action.OPERATOR:
            group = None if failure.whole_cluster else topic
            return NeedsOperator(failure.reason, group=group, code=code, may_be_delivered=unknown)
        case Action.POISON:
            return Poison(
                failure.reason,
                code=code or "oversize",
                may_be_delivered=unknown,
                certain_after=failure.verdict.certain_after,
            )
