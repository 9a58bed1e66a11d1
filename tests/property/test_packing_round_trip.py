"""A packed record comes back as it was, and nothing else comes back at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.codec import WireRecord, encode
from streaming.packing import UnreadableRecord, pack, unpack
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


def test_header_that_cannot_be_packed_is_refused():
    with pytest.raises(ValueError, match="cannot be packed"):
        pack(WireRecord(b"k", b"v", (("x" * 70_000, b""),)))
