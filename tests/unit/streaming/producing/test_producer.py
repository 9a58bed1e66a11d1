"""What becomes of a call whose batches wait, fail or come to no end; the sender is a fake."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from streaming.errors import (
    AccessRefused,
    BrokerRefused,
    BrokerUnavailable,
    ProducerFull,
    PublishTimeout,
)
from streaming.events.codec import WireRecord, encode
from streaming.events.packing import unpack
from streaming.producing.batch_errors import Action, BatchFailed, BatchVerdict
from streaming.producing.producer import EventProducer
from tests.support.kafka_log import ride_request, ride_requests

Rule = Callable[[Sequence[WireRecord]], BatchFailed | None]


class FakeSender:
    """Takes batches unless its rule says otherwise; waits while `passing` is clear."""

    def __init__(self) -> None:
        self.passing = asyncio.Event()
        self.passing.set()
        self.not_ready: BatchFailed | None = None
        self.rule: Rule = lambda _: None
        self.batches: list[tuple[str, int, list[WireRecord]]] = []
        self.renewals: list[str] = []

    async def ready(self, timeout_s: float) -> None:
        del timeout_s
        if self.not_ready is not None:
            raise self.not_ready

    async def send(
        self, topic: str, partition: int, records: Sequence[bytes], *, size: int
    ) -> None:
        assert size == sum(map(len, records))
        batch = [unpack(record) for record in records]
        self.batches.append((topic, partition, batch))
        await self.passing.wait()
        if (failure := self.rule(batch)) is not None:
            raise failure

    def renew(self, cause: str) -> None:
        self.renewals.append(cause)


@pytest.fixture
def sender() -> FakeSender:
    return FakeSender()


@pytest.fixture
async def producer(sender):
    async with EventProducer(sender, partitions=6, max_pending_bytes=50_000) as producer:
        yield producer
    assert not producer.pending_bytes


def failed(action: Action, code: int | None = None, **facts: object) -> BatchFailed:
    return BatchFailed(BatchVerdict(action), "as told", code=code, **facts)  # type: ignore[arg-type]


async def test_call_makes_one_batch_a_partition(sender, producer):
    await producer.send("t", ride_requests(range(60), keys=60), timeout_s=1)
    partitions = [partition for _, partition, _ in sender.batches]
    assert len(partitions) == len(set(partitions)) == 6


async def test_call_behind_another_one_that_has_no_end_is_known_not_to_be_sent(sender, producer):
    sender.passing.clear()
    first = asyncio.create_task(producer.send("t", [ride_request(1)], timeout_s=5))
    await asyncio.sleep(0)
    with pytest.raises(BrokerUnavailable, match="not sent"):
        await producer.send("t", [ride_request(2)], timeout_s=0.01)
    sender.passing.set()
    await first
    assert len(sender.batches) == 1


async def test_batch_under_way_at_the_deadline_holds_its_bytes_until_it_ends(sender, producer):
    sender.passing.clear()
    with pytest.raises(PublishTimeout) as caught:
        await producer.send("t", ride_requests(range(2), keys=1), timeout_s=0.01)
    assert caught.value.unacknowledged == (0, 1)
    assert producer.pending_bytes
    sender.passing.set()
    await producer.send("t", [ride_request(key="city-0")], timeout_s=1)
    assert not producer.pending_bytes


async def test_more_bytes_than_may_wait_are_refused(producer):
    with pytest.raises(ProducerFull):
        await producer.send("t", [ride_request(product="x" * 60_000)], timeout_s=1)


async def test_refused_record_concerns_only_the_call_that_gave_it(sender, producer):
    poison = ride_request(1, product="the-poison")
    sender.rule = lambda batch: (
        failed(Action.POISON, 10) if b"the-poison" in (batch[0].value or b"") else None
    )
    outcomes = await asyncio.gather(
        producer.send("t", [poison], timeout_s=1),
        producer.send("t", [ride_request(2)], timeout_s=1),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [BrokerRefused, type(None)]


async def test_failed_batch_lets_nothing_of_its_call_overtake_it(sender):
    sender.rule = lambda _: failed(Action.RETRY)
    async with EventProducer(sender, partitions=6) as producer:
        large = [ride_request(number, product="x" * 200_000) for number in range(3)]
        with pytest.raises(BrokerUnavailable):
            await producer.send("t", large, timeout_s=1)
    assert [len(batch) for _, _, batch in sender.batches] == [1]


async def test_some_batches_acknowledged_names_the_others(sender, producer):
    events = ride_requests(range(6))
    bad = encode(events[2])
    sender.rule = lambda batch: failed(Action.RETRY) if bad in batch else None
    with pytest.raises(PublishTimeout) as caught:
        await producer.send("t", events, timeout_s=1)
    assert 2 in caught.value.unacknowledged
    assert len(caught.value.unacknowledged) < 6


@pytest.mark.parametrize(
    ("failure", "wanted"),
    [
        (failed(Action.RETRY), BrokerUnavailable),
        (failed(Action.RENEW), BrokerUnavailable),
        (failed(Action.RENEW, may_be_in_log=True), PublishTimeout),
        (failed(Action.OPERATOR, 44), BrokerRefused),
        (failed(Action.OPERATOR, 29, leaf=AccessRefused), AccessRefused),
        (failed(Action.POISON, 87, may_be_in_log=True), BrokerRefused),
    ],
    ids=str,
)
async def test_failure_is_told_in_the_words_of_the_package(sender, producer, failure, wanted):
    sender.rule = lambda _: failure
    with pytest.raises(wanted) as caught:
        await producer.send("t", [ride_request()], timeout_s=1)
    assert type(caught.value) is wanted


async def test_sender_that_is_not_ready_sends_nothing(sender, producer):
    sender.not_ready = failed(Action.OPERATOR, leaf=AccessRefused)
    with pytest.raises(AccessRefused):
        await producer.send("t", [ride_request()], timeout_s=1)
    assert (sender.batches, producer.pending_bytes) == ([], 0)


async def test_batch_without_an_end_gets_a_new_producer(sender):
    sender.passing.clear()
    async with EventProducer(sender, partitions=6, renew_s=0.01) as producer:
        with pytest.raises(PublishTimeout):
            await producer.send("t", [ride_request()], timeout_s=5)
    assert sender.renewals == ["a batch came to no end"]


async def test_record_without_a_key_needs_a_partition(sender, producer):
    record = WireRecord(None, b"raw")
    with pytest.raises(ValueError, match="needs a partition"):
        await producer.send_records("t", [record], timeout_s=1)
    await producer.send_records("t", [record], timeout_s=1, partition=4)
    assert sender.batches == [("t", 4, [record])]


async def test_leaving_gives_up_what_is_under_way(sender):
    sender.passing.clear()
    async with EventProducer(sender, partitions=6) as producer:
        with pytest.raises(PublishTimeout):
            await producer.send("t", [ride_request()], timeout_s=0.01)
        assert producer.pending_bytes
    assert not producer.pending_bytes
