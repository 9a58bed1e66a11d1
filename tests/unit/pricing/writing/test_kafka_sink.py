"""The pump's words for what a batch sender did; the sender is a fake."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fallback.pump.sink import NeedsOperator, Poison, RetryLater, SinkReset
from pricing.writing.kafka_sink import LOST_RECORDS, KafkaSink, as_sink_failure
from streaming.events.packing import UnreadableRecord
from streaming.producing.batch_errors import BY_CODE, Action, BatchFailed, BatchVerdict

LANE = b"equilibrium.ride-requests/3"
FAILURES = {
    Action.RETRY: RetryLater,
    Action.RENEW: SinkReset,
    Action.OPERATOR: NeedsOperator,
    Action.POISON: Poison,
}


class FakeSender:
    """Remembers what it was asked; fails as told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, Sequence[bytes], int]] = []
        self.failure: Exception | None = None
        self.diagnosis: BatchFailed | None = None
        self.renewals: list[str] = []

    async def send(self, topic: str, partition: int, records: Sequence[bytes], *, size: int):
        self.sent.append((topic, partition, records, size))
        if self.failure is not None:
            raise self.failure

    async def why_stalled(self, topic: str, partition: int) -> BatchFailed | None:
        assert (topic, partition) == ("equilibrium.ride-requests", 3)
        return self.diagnosis

    def renew(self, cause: str) -> None:
        self.renewals.append(cause)


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
def sink(sender) -> KafkaSink:
    return KafkaSink(sender)


def failed(action: Action, **facts: object) -> BatchFailed:
    return BatchFailed(BatchVerdict(action), "as told", **facts)  # type: ignore[arg-type] # some


async def test_batch_goes_to_the_partition_of_its_lane(sender, sink):
    await sink.send(LANE, [b"12", b"345"])
    assert sender.sent == [("equilibrium.ride-requests", 3, [b"12", b"345"], 5)]
    assert sink.group_of(LANE) == "equilibrium.ride-requests"


async def test_lane_that_names_no_partition_is_poison(sender, sink):
    with pytest.raises(Poison, match="unreadable"):
        await sink.send(b"no lane", [b"1"])
    assert sender.sent == []


async def test_body_that_is_no_record_is_poison(sender, sink):
    sender.failure = UnreadableRecord("version 9")
    with pytest.raises(Poison, match="unreadable"):
        await sink.send(LANE, [b"1"])


async def test_failed_batch_is_told_in_the_pumps_words(sender, sink):
    sender.failure = failed(Action.RETRY, may_be_in_log=True)
    with pytest.raises(RetryLater) as caught:
        await sink.send(LANE, [b"1"])
    assert caught.value.may_be_delivered


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_verdict_becomes_a_failure_of_the_pump(code):
    failure = as_sink_failure(BatchFailed(BY_CODE[code], "reason", code=code), "topic")
    assert (failure.code, failure.reason) == (str(code), "reason")
    assert type(failure) is FAILURES[BY_CODE[code].action]


def test_records_that_the_broker_lost_raise_the_alarm():
    failure = as_sink_failure(failed(Action.RENEW, lost_records=True), "t")
    assert failure.alarm == LOST_RECORDS
    assert as_sink_failure(failed(Action.RENEW), "t").alarm is None


@pytest.mark.parametrize(("whole_cluster", "group"), [(True, None), (False, "t")])
def test_what_needs_an_operator_names_what_is_affected(whole_cluster, group):
    failure = as_sink_failure(failed(Action.OPERATOR, whole_cluster=whole_cluster), "t")
    assert isinstance(failure, NeedsOperator)
    assert failure.group == group


async def test_question_why_nothing_gets_through_goes_to_the_broker(sender, sink):
    assert await sink.diagnose(LANE) is None
    sender.diagnosis = failed(Action.OPERATOR)
    assert isinstance(await sink.diagnose(LANE), NeedsOperator)


def test_new_start_is_the_senders(sender, sink):
    sink.renew("stuck")
    assert sender.renewals == ["stuck"]
