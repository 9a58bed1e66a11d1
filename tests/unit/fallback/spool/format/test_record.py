from __future__ import annotations

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.spool.format.record import (
    OVERHEAD,
    Entry,
    Frame,
    Incomplete,
    Record,
    decode,
    decode_run,
    encode,
    encode_passed,
    frame_bytes,
)

MARKER = 0x9F3C21AA
RECORD = Record(7, b"lane", b"a body", 1_700_000_000_000)


@given(
    st.builds(
        Record,
        st.integers(1, 2**64 - 1),
        st.binary(max_size=255),
        st.binary(max_size=300),
        st.integers(0, 2**64 - 1),
    )
)
def test_record_survives_its_frame(record):
    frame = encode(record, MARKER)
    assert len(frame) == frame_bytes(Entry(record.lane, record.body))
    assert decode(frame, 0, MARKER) == Frame(record.seq, record.seq + 1, len(frame), record)
    assert decode(b"abc" + frame + b"def", 3, MARKER) == decode(frame, 0, MARKER)


@given(st.integers(1, 2**63), st.integers(1, 2**62))
def test_passed_records_survive_their_frame(seq, count):
    frame = encode_passed(seq, seq + count, MARKER)
    assert decode(frame, 0, MARKER) == Frame(seq, seq + count, len(frame), None)


def test_decode_of_any_flipped_bit_finds_no_record():
    frame = encode(RECORD, MARKER)
    for bit in range(len(frame) * 8):
        damaged = bytearray(frame)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not isinstance(decode(bytes(damaged), 0, MARKER), Frame)


def test_decode_of_any_cut_asks_for_more():
    frame = encode(RECORD, MARKER)
    for size in range(len(frame)):
        wanted = decode(frame[:size], 0, MARKER)
        assert wanted == Incomplete(OVERHEAD if size < OVERHEAD else len(frame))


def test_decode_with_another_marker_finds_nothing():
    assert decode(encode(RECORD, MARKER), 0, MARKER ^ 1) is None


def test_decode_of_foreign_frame_under_own_marker_finds_nothing():
    """The checksum starts from the marker: pasting it over is not enough."""
    frame = encode(RECORD, MARKER ^ 1)
    assert decode(struct.pack("<I", MARKER) + frame[4:], 0, MARKER) is None


@pytest.mark.parametrize("kind", [0, 2, 3, 255])
def test_decode_of_other_kind_finds_nothing(kind):
    frame = bytearray(encode(RECORD, MARKER))
    frame[20] = kind
    frame[4:8] = struct.pack("<I", crc32(frame[8:], MARKER))
    assert decode(bytes(frame), 0, MARKER) is None


def test_decode_of_zeros_finds_nothing():
    assert decode(bytes(100), 0, MARKER) is None


def _frames(*seqs: int) -> bytes:
    return b"".join(encode(RECORD._replace(seq=seq), MARKER) for seq in seqs)


def test_run_of_records_is_what_single_decodes_find():
    data = b"abc" + _frames(7, 8, 9)
    records, starts, end = decode_run(data, 3, MARKER, 7, None)
    size = len(_frames(7))
    assert (starts, end) == ([3, 3 + size, 3 + 2 * size], len(data))
    assert records == [decode(data, start, MARKER).record for start in starts]
    assert all(type(record) is Record for record in records)


@pytest.mark.parametrize(
    ("behind", "past"),
    [
        (_frames(8)[:-1], None),
        (_frames(9), None),
        (_frames(7), None),
        (_frames(8), 8),
        (encode_passed(8, 12, MARKER), None),
        (encode(RECORD._replace(seq=8), MARKER ^ 1), None),
        (bytes(100), None),
        (b"", None),
    ],
)
def test_run_ends_before_what_does_not_plainly_follow(behind, past):
    data = _frames(7)
    records, _, end = decode_run(data + behind, 0, MARKER, 7, past)
    assert ([record.seq for record in records], end) == ([7], len(data))


def test_run_with_any_flipped_bit_ends_there():
    frames = bytearray(_frames(7, 8))
    for bit in range(len(frames) * 8):
        frames[bit // 8] ^= 1 << bit % 8
        records, _, end = decode_run(bytes(frames), 0, MARKER, 7, None)
        whole = bit // 8 * 2 // len(frames)
        assert (len(records), end) == (whole, whole * len(frames) // 2)
        frames[bit // 8] ^= 1 << bit % 8
