"""What a dead letter says, and what happens above the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import structlog

from streaming.dead_letter import DeadLetters, DlqLimit, dead_letter
from streaming.errors import BrokerRefused, BrokerTimeout, InvalidMessage
from streaming.events.codec import WireRecord, decode, encode
from streaming.memory import MemoryBroker, MemoryProducer
from tests.support.kafka_log import OCCURRED_MS, consumed, ride_request

BROKEN = WireRecord(b"nyc", b"{", encode(ride_request()).headers)
FAULT = InvalidMessage("not_json", "at byte 1")


class Clock:
    now_ms = OCCURRED_MS

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def broker(clock) -> MemoryBroker:
    return MemoryBroker(now_ms=clock)


def make(broker, clock, per_minute: int = 600) -> DeadLetters:
    limit = DlqLimit(records_per_minute=per_minute)
    return DeadLetters(MemoryProducer(broker), now_ms=clock, limit=limit, timeout_s=0.01)


def test_dead_letter_is_the_record_and_its_story():
    record = consumed(BROKEN, topic="t", partition=4, offset=17)
    letter = dead_letter(record, FAULT, attempts=2, now_ms=OCCURRED_MS)
    assert (letter.key, letter.value) == (record.key, record.value)
    assert letter.headers[-len(record.headers) :] == record.headers
    assert dict(letter.headers[:7]) == {
        "dlq_topic": b"t",
        "dlq_partition": b"4",
        "dlq_offset": b"17",
        "dlq_reason": b"not_json",
        "dlq_detail": b"at byte 1",
        "dlq_attempts": b"2",
        "dlq_at": b"2026-01-02T03:04:05.678Z",
    }


def test_dead_letter_of_a_mended_record_can_be_read():
    letter = dead_letter(consumed(), FAULT, attempts=1, now_ms=OCCURRED_MS)
    assert decode(letter).event.key == "nyc"


def test_dead_letter_of_nothing_has_a_value_that_kafka_takes():
    record = replace(consumed(), key=None, value=None, headers=())
    assert dead_letter(record, FAULT, attempts=1, now_ms=0).value == b""


def test_dead_letter_of_a_detail_that_is_no_text_is_made_all_the_same():
    fault = InvalidMessage("unknown_type", "\ud800")
    letter = dead_letter(consumed(), fault, attempts=1, now_ms=0)
    assert ("dlq_detail", b"?") in letter.headers


async def test_dead_letter_goes_to_the_same_partition_of_its_topic(broker, clock):
    letters = make(broker, clock)
    await letters.send(consumed(BROKEN, topic="t", partition=5), FAULT)
    (stored,) = broker.log("t.dlq", 5)
    assert stored.value == b"{"
    assert letters.sent == {"not_json": 1}


async def test_dead_letter_without_a_broker_is_tried_again_by_the_caller(broker, clock):
    broker.loses_acks = True
    letters = make(broker, clock)
    with pytest.raises(BrokerTimeout):
        await letters.send(consumed(BROKEN), FAULT)
    assert not letters.sent + letters.withheld


async def test_above_the_limit_records_are_counted_and_named(broker, clock):
    letters = make(broker, clock, per_minute=2)
    with structlog.testing.capture_logs() as logs:
        for offset in range(10):
            await letters.send(consumed(BROKEN, offset=offset), FAULT)
    assert len(broker.topic("ride-requests.dlq")) == 2
    assert (letters.sent, letters.withheld) == ({"not_json": 2}, {"not_json": 8})
    told = [line for line in logs if line["event"] == "dead letters withheld"]
    assert [(line["first_offset"], line["last_offset"]) for line in told] == [
        (2, 2),
        (2, 3),
        (2, 5),
        (2, 9),
    ]


async def test_next_minute_sends_again_and_tells_what_was_withheld(broker, clock):
    letters = make(broker, clock, per_minute=1)
    for offset in range(4):
        await letters.send(consumed(BROKEN, offset=offset), FAULT)
    clock.now_ms += 60_000
    with structlog.testing.capture_logs() as logs:
        await letters.send(consumed(BROKEN, offset=4), FAULT)
    assert letters.sent == {"not_json": 2}
    assert logs[0]["event"] == "dead letters were withheld"
    assert (logs[0]["first_offset"], logs[0]["last_offset"], logs[0]["count"]) == (1, 3, 3)


async def test_record_that_the_broker_refuses_is_withheld(clock):
    class Refusing:
        async def send_records(
            self,
            topic: str,
            records: Sequence[WireRecord],
            *,
            timeout_s: float,
            partition: int | None = None,
        ) -> None:
            raise BrokerRefused("message size too large", code=10)

    letters = DeadLetters(Refusing(), now_ms=clock)
    await letters.send(consumed(BROKEN), FAULT)
    assert (letters.sent, letters.withheld) == ({}, {"not_json": 1})


def test_limit_below_zero_is_refused():
    with pytest.raises(ValueError, match="records_per_minute=-1"):
        DlqLimit(records_per_minute=-1)
