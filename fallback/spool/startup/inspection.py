"""Reads a spool without opening it: for people, also while a process works on it.

Takes no lock for longer than a look, and writes nothing. What a living process appends or
deletes meanwhile may be seen or not; a frame that it is just writing looks like damage at the
very end, and is told as a tail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fallback.spool.format.cursor import FILE_NAME as CURSOR_NAME
from fallback.spool.format.cursor import SLOT_BYTES, Cursor, read_cursor
from fallback.spool.format.io import Access, File, Files, RealFiles
from fallback.spool.format.record import Record
from fallback.spool.format.scan import Chunk, Damage, Stretch, scan
from fallback.spool.format.segment import HEADER_BYTES, SegmentName, decode_header
from fallback.spool.startup.opening import LOCK_NAME
from fallback.spool.startup.recovery import segment_names

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class InspectedRecord:
    """One record, and whether it is still to be delivered."""

    record: Record
    is_pending: bool


@dataclass(frozen=True, slots=True)
class DamagedSpan:
    """One stretch of damage."""

    segment: str
    """The file: a segment, `cursor`, or empty where segments are missing."""
    damage: Damage
    """`lost` is 0 for a header or the cursor: no record depends on them."""
    is_tail: bool
    """Behind the last record of the last segment: a torn write, or one under way."""


def is_held(directory: Path, files: Files | None = None) -> bool:
    """Whether a living process has the spool open."""
    files = files or RealFiles()
    if LOCK_NAME not in files.names(directory):
        return False
    lock = files.lock(directory / LOCK_NAME)
    if lock is None:
        return True
    lock.release()
    return False


def segments(directory: Path, files: Files | None = None) -> list[SegmentName]:
    """The segments, in order."""
    return segment_names(files or RealFiles(), directory)


def read_spool(
    directory: Path, files: Files | None = None, *, lane: bytes | None = None
) -> Iterator[InspectedRecord | DamagedSpan]:
    """Everything in a spool, in the order of the sequence numbers; records of one lane, or all.

    Raises `OSError`.
    """
    files = files or RealFiles()
    # In this order: what is deleted in between is not missed.
    names = segment_names(files, directory)
    cursor = read_cursor(files, directory)
    yield from _damage_around(cursor, names)
    ends: list[int | None] = [*(name.base for name in names[1:]), None]
    for name, end_seq in zip(names, ends, strict=False):
        path = directory / name.file_name()
        try:
            size = files.size(path)
            file = files.open(path, Access.READ)
        except FileNotFoundError:  # delivered since
            continue
        try:
            for one in _read_segment(file, size, name, end_seq, cursor or Cursor()):
                if isinstance(one, DamagedSpan) or lane in (None, one.record.lane):
                    yield one
        finally:
            file.close()


def _damage_around(cursor: Cursor | None, names: list[SegmentName]) -> Iterator[DamagedSpan]:
    if cursor is None:
        yield DamagedSpan(CURSOR_NAME, Damage(0, 2 * SLOT_BYTES, 0, 0), is_tail=False)
    elif names and names[0].base > cursor.low_water + 1:
        first = cursor.low_water + 1
        yield DamagedSpan("", Damage(0, 0, first, names[0].base - first), is_tail=False)


def _read_segment(
    file: File, size: int, name: SegmentName, end_seq: int | None, cursor: Cursor
) -> Iterator[InspectedRecord | DamagedSpan]:
    header = decode_header(file.read_at(0, HEADER_BYTES))
    if header is None or header[0] != name:
        yield DamagedSpan(name.file_name(), Damage(0, HEADER_BYTES, name.base, 0), is_tail=False)
    stretch = Stretch(name.marker, HEADER_BYTES, name.base, end_seq, size, _READ_BYTES)
    while True:
        chunk = scan(file, stretch)
        yield from _tell(chunk, name, cursor, is_last=end_seq is None)
        if chunk.at_end:
            return
        stretch = replace(stretch, offset=chunk.next_offset, seq=chunk.next_seq)


def _tell(
    chunk: Chunk, name: SegmentName, cursor: Cursor, *, is_last: bool
) -> Iterator[InspectedRecord | DamagedSpan]:
    for record in chunk.records:
        done = max(cursor.low_water, cursor.acked.get(record.lane, 0))
        yield InspectedRecord(record, is_pending=record.seq > done)
    if chunk.damage is not None:
        yield DamagedSpan(name.file_name(), chunk.damage, is_tail=is_last and chunk.at_end)
