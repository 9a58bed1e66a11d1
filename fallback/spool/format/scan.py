"""Reads frames out of a segment, steps over damage, and counts what is lost."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from fallback.spool.format.io import File
from fallback.spool.format.record import OVERHEAD, Frame, Incomplete, Record, decode, decode_run

_MARKER = struct.Struct("<I")
_WINDOW = 256 * 1024


class Damage(NamedTuple):
    """A stretch of a segment without a readable frame."""

    at: int
    """Offset in the file."""
    size: int
    """Bytes up to the last one that is not zero; 0 where nothing was ever written."""
    first_seq: int
    lost: int
    """Sequence numbers from `first_seq` on that are not there."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What to read: frames from `offset` on, in which `seq` is expected next."""

    marker: int
    offset: int
    seq: int
    end_seq: int | None
    """The sequence number behind the segment's last; None while nobody knows."""
    extent: int
    """Offset behind the last byte that may hold a frame."""
    limit: int
    """Stop behind about so many bytes."""


@dataclass(slots=True)
class Chunk:
    """What was read. Damage ends a chunk, so that at most one stands in it, as its last."""

    offset: int
    """Where it begins, and the sequence number expected there."""
    seq: int
    records: list[Record] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    damage: Damage | None = None
    end: int = 0
    """Offset behind the last whole frame."""
    next_offset: int = 0
    next_seq: int = 0
    at_end: bool = False
    """No frame of this segment follows."""


def scan(file: File, stretch: Stretch) -> Chunk:
    """Read the next frames of a segment. Raises `OSError`."""
    chunk = Chunk(
        stretch.offset,
        stretch.seq,
        end=stretch.offset,
        next_offset=stretch.offset,
        next_seq=stretch.seq,
    )
    base = stretch.offset
    data = file.read_at(base, min(stretch.limit, stretch.extent - base))
    while not _take_run(data, stretch, chunk):
        frame = decode(data, chunk.next_offset - base, stretch.marker)
        if isinstance(frame, Incomplete) and chunk.next_offset + frame.size <= stretch.extent:
            if chunk.next_offset > stretch.offset:
                return chunk
            data = file.read_at(base, frame.size)
            if len(data) == frame.size:
                continue
            frame = None  # the file is shorter than it was said to be
        if not isinstance(frame, Frame) or not _is_next(frame, stretch, chunk.next_seq):
            _skip(file, stretch, chunk)
            return chunk
        chunk.next_offset += frame.size
        chunk.end = chunk.next_offset
        chunk.next_seq = frame.past
    chunk.at_end = True
    return chunk


def _take_run(data: bytes, stretch: Stretch, chunk: Chunk) -> bool:
    """Take in the records that plainly follow. Whether the last one is among them."""
    base, at = stretch.offset, chunk.next_offset - stretch.offset
    records, starts, end = decode_run(data, at, stretch.marker, chunk.next_seq, stretch.end_seq)
    chunk.records += records
    chunk.offsets += [base + start for start in starts]
    chunk.end = chunk.next_offset = base + end
    chunk.next_seq += len(records)
    return chunk.next_seq == stretch.end_seq


def _is_next(frame: Frame, stretch: Stretch, seq: int) -> bool:
    return frame.seq == seq and (stretch.end_seq is None or frame.past <= stretch.end_seq)


def _skip(file: File, stretch: Stretch, chunk: Chunk) -> None:
    """Go to the next valid frame, or to the end, and say what lies between."""
    start = chunk.next_offset
    found = _resync(file, stretch, start, chunk.next_seq)
    end, seq = (stretch.extent, stretch.end_seq) if found is None else found
    size = _last_nonzero(file, start, end) - start
    lost = 0 if seq is None else seq - chunk.next_seq
    if size or lost:
        chunk.damage = Damage(start, size, chunk.next_seq, lost)
    chunk.at_end = found is None
    chunk.next_offset = end
    chunk.next_seq += lost


def _resync(file: File, stretch: Stretch, start: int, seq: int) -> tuple[int, int] | None:
    """Offset and sequence number of the next valid frame at or behind `start`."""
    mark = _MARKER.pack(stretch.marker)
    base = start
    while base + OVERHEAD <= stretch.extent:
        data = file.read_at(base, min(_WINDOW, stretch.extent - base))
        at = data.find(mark)
        while at >= 0:
            frame = _frame_at(file, stretch, base + at)
            # One that lies before the expected number is a copy within a body, or was read.
            if frame is not None and frame.seq >= seq:
                behind = stretch.end_seq is not None and frame.past > stretch.end_seq
                return None if behind else (base + at, frame.seq)
            at = data.find(mark, at + 1)
        if len(data) < _WINDOW:
            return None
        # A marker may lie across the border of two windows.
        base += len(data) - _MARKER.size + 1
    return None


def _frame_at(file: File, stretch: Stretch, offset: int) -> Frame | None:
    size = OVERHEAD
    while offset + size <= stretch.extent:
        frame = decode(file.read_at(offset, size), 0, stretch.marker)
        if not isinstance(frame, Incomplete):
            return frame
        if frame.size <= size:
            return None
        size = frame.size
    return None


def _last_nonzero(file: File, start: int, end: int) -> int:
    """Offset behind the last byte in [start, end) that is not zero; `start` if there is none."""
    last = start
    for at in range(start, end, _WINDOW):
        data = file.read_at(at, min(_WINDOW, end - at)).rstrip(b"\0")
        if data:
            last = at + len(data)
    return last
