"""What goes to the dead-letter topic of a record that Kafka refused."""

from __future__ import annotations

import pytest

from fallback.pump.dead_letters import Letter
from pricing.writing.dead_letters import dlq_entry
from pricing.writing.spool_lanes import lane_of
from streaming.events.codec import WireRecord
from streaming.events.packing import pack, unpack
from tests.support.kafka_log import OCCURRED_MS

RECORD = WireRecord(b"k", b"v", (("h", b"1"),))


def letter(topic: str = "t", body: bytes | None = None) -> Letter:
    return Letter(
        id="1f2e",
        lane=lane_of(topic, 3).decode(),
        seq=17,
        body=pack(RECORD) if body is None else body,
        error_class="10",
        reason="message size too large",
        attempts=2,
        retries=0,
        appended_ms=OCCURRED_MS - 5,
        buried_ms=OCCURRED_MS,
    )


def test_copy_is_the_record_with_its_story_in_front():
    entry = dlq_entry(letter(), OCCURRED_MS)
    assert entry is not None
    copy = unpack(entry.body)
    assert entry.lane == lane_of("t.dlq", 3)
    assert (copy.key, copy.value, copy.headers[-1]) == (b"k", b"v", ("h", b"1"))
    assert dict(copy.headers[:-1]) == {
        "dlq_topic": b"t",
        "dlq_partition": b"3",
        "dlq_offset": b"-1",
        "dlq_spool_seq": b"17",
        "dlq_reason": b"refused_by_broker",
        "dlq_error_class": b"10",
        "dlq_detail": b"message size too large",
        "dlq_attempts": b"2",
        "dlq_at": b"2026-01-02T03:04:05.678Z",
    }


def test_letter_from_a_dead_letter_topic_is_not_copied_again():
    assert dlq_entry(letter("t.dlq"), 0) is None


@pytest.mark.parametrize("body", [b"", b"no record"])
def test_letter_that_is_no_record_is_not_copied(body):
    assert dlq_entry(letter(body=body), 0) is None
