"""Entries, records, and the frame that holds one record on the disk (see FORMAT)."""

from __future__ import annotations

import struct
from enum import Enum
from typing import NamedTuple
from zlib import crc32

_RECORD = 1
_PASSED = 2
LANE_BYTES = 255
"""Greatest length of a lane's name: its length is one byte."""

_HEAD = struct.Struct("<II")  # marker, CRC
_REST = struct.Struct("<IQBBQ")  # length, sequence number, kind, lane length, appended_ms
_WHOLE = struct.Struct("<IIIQBBQ")
_PAST = struct.Struct("<Q")
OVERHEAD = _WHOLE.size
"""Bytes that a frame adds to lane and body."""
_BEFORE_LENGTH = _HEAD.size + 4 + 8
_LENGTH_AT_LEAST = OVERHEAD - _BEFORE_LENGTH


class Durability(Enum):
    """When an append returns."""

    DURABLE = "durable"
    """Once a power cut cannot lose it."""
    RELAXED = "relaxed"
    """Once a killed process cannot lose it; a power cut can, for `relaxed_sync_ms`."""


class Entry(NamedTuple):
    """What a caller wants kept. Lanes are opaque names; order is kept within each."""

    lane: bytes
    body: bytes


class Record(NamedTuple):
    """An entry that has its place."""

    seq: int
    lane: bytes
    body: bytes
    appended_ms: int
    """Wall clock, epoch milliseconds."""


class Frame(NamedTuple):
    """A whole and undamaged frame."""

    seq: int
    past: int
    """The sequence number behind it."""
    size: int
    record: Record | None
    """None: it stands for records that were delivered, and taken out to make room."""


class Incomplete(NamedTuple):
    """What may be a frame, but goes on behind the data: it needs `size` bytes in all."""

    size: int


def frame_bytes(entry: Entry) -> int:
    """The size of an entry's frame."""
    return OVERHEAD + len(entry.lane) + len(entry.body)


def encode(record: Record, marker: int) -> bytes:
    """The record's frame in a segment with this marker."""
    lane = record.lane
    length = _LENGTH_AT_LEAST + len(lane) + len(record.body)
    rest = _REST.pack(length, record.seq, _RECORD, len(lane), record.appended_ms)
    rest += lane + record.body
    return _HEAD.pack(marker, crc32(rest, marker)) + rest


def encode_passed(seq: int, past: int, marker: int) -> bytes:
    """The frame in place of delivered records, from `seq` to just below `past`."""
    rest = _REST.pack(_LENGTH_AT_LEAST + _PAST.size, seq, _PASSED, 0, 0) + _PAST.pack(past)
    return _HEAD.pack(marker, crc32(rest, marker)) + rest


def decode(data: bytes, at: int, marker: int) -> Frame | Incomplete | None:
    """Read the frame at an offset. None: there is none, or a damaged one."""
    if at + OVERHEAD > len(data):
        return Incomplete(OVERHEAD)
    mark, crc, length, seq, kind, lane_bytes, appended_ms = _WHOLE.unpack_from(data, at)
    if mark != marker or length < _LENGTH_AT_LEAST + lane_bytes:
        return None
    size = _BEFORE_LENGTH + length
    end = at + size
    if end > len(data):
        return Incomplete(size)
    if crc32(memoryview(data)[at + _HEAD.size : end], marker) != crc:
        return None
    if kind == _RECORD:
        lane_at = at + OVERHEAD
        body_at = lane_at + lane_bytes
        record = Record(seq, data[lane_at:body_at], data[body_at:end], appended_ms)
        return Frame(seq, seq + 1, size, record)
    return _decode_passed(data, at, seq, kind, size)


def decode_run(
    data: bytes, at: int, marker: int, seq: int, past: int | None
) -> tuple[list[Record], list[int], int]:
    """The records from an offset on, where their frames begin, and the offset behind the last.

    For as long as each is whole and has the next number, from `seq` on and below `past`. What
    ends the run is for `decode` to say.
    """
    records: list[Record] = []
    starts: list[int] = []
    unpack, new = _WHOLE.unpack_from, tuple.__new__
    size = len(data)
    # Written out, for a backlog goes through here.
    while at + OVERHEAD <= size and seq != past:
        mark, crc, length, number, kind, lane_bytes, appended_ms = unpack(data, at)
        end = at + _BEFORE_LENGTH + length
        lane_at = at + OVERHEAD
        body_at = lane_at + lane_bytes
        if mark != marker or number != seq or kind != _RECORD or not body_at <= end <= size:
            break
        if crc32(data[at + _HEAD.size : end], marker) != crc:
            break
        parts = (seq, data[lane_at:body_at], data[body_at:end], appended_ms)
        records.append(new(Record, parts))
        starts.append(at)
        at = end
        seq += 1
    return records, starts, at


def _decode_passed(data: bytes, at: int, seq: int, kind: int, size: int) -> Frame | None:
    if kind != _PASSED or size != OVERHEAD + _PAST.size:
        return None
    (past,) = _PAST.unpack_from(data, at + OVERHEAD)
    return Frame(seq, past, size, None)
