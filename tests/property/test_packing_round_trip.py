"""A packed record comes back as it was, and goes to Kafka as the driver would have sent it."""

from __future__ import annotations

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from streaming.events.codec import WireRecord, encode
from streaming.events.packing import UnreadableRecord, pack, unpack
from streaming.producing.record_batch import RecordBatch
from tests.support.kafka_log import ride_request

some_bytes = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.text(max_size=40), some_bytes), max_size=12)
records = st.builds(WireRecord, key=some_bytes, value=some_bytes, headers=headers.map(tuple))


@given(records)
def test_record_comes_back(record):
    assert unpack(pack(record)) == record


@given(records, st.data())
def test_cut_or_longer_bytes_are_refused(record, data):
    packed = pack(record)
    cut = data.draw(st.integers(0, len(packed) - 1))
    for wrong in (packed[:cut], packed + b"\0"):
        with pytest.raises(UnreadableRecord):
            unpack(wrong)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_record_or_refused(data):
    try:
        record = unpack(data)
    except UnreadableRecord:
        return
    assert unpack(pack(record)) == record


def test_event_of_the_service_is_packed_small():
    record = encode(ride_request())
    assert len(pack(record)) < record.size_bytes + 80


@given(records)
def test_bytes_of_another_version_are_refused(record):
    packed = pack(record)
    for version in (b"\1", b"\3"):
        with pytest.raises(UnreadableRecord, match="version"):
            unpack(version + packed[1:])


@given(st.lists(records, min_size=1, max_size=5), st.integers(0, 2**41))
def test_batch_is_the_one_that_the_driver_builds(wanted, timestamp_ms):
    theirs = BatchBuilder(1 << 20, 0)
    for record in wanted:
        theirs.append(
            timestamp=timestamp_ms,
            key=record.key,
            value=record.value,
            headers=list(record.headers),
        )
    ours = RecordBatch([pack(record) for record in wanted], timestamp_ms)
    assert (ours.size(), ours.record_count()) == (theirs.size(), theirs.record_count())
    for batch in (ours, theirs):
        batch._set_producer_state(7, 3, 12)
    assert ours._build() == bytes(theirs._build())
    assert ours.size() == len(ours._build())


def test_large_batch_of_large_records_reads_back():
    wanted = [WireRecord(b"k", bytes(number), (("h", None),)) for number in range(5_000)]
    batch = RecordBatch([pack(record) for record in wanted], 5)._build()
    read = DefaultRecordBatch(bytearray(batch))
    assert read.validate_crc()
    assert [(record.offset, record.timestamp, len(record.value)) for record in read] == [
        (number, 5, number) for number in range(5_000)
    ]


def test_batch_takes_nothing_but_packed_records():
    for wrong in (b"", b"\1" + pack(WireRecord(b"k", b"v"))):
        with pytest.raises(UnreadableRecord):
            RecordBatch([pack(WireRecord(b"k", b"v")), wrong], 5)
