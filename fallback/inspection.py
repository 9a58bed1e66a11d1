"""Reads a spool without opening it: for people, also while a process works on it.

Takes no lock and writes nothing. What a living process appends or deletes meanwhile may be seen
or not; a frame that it is just writing looks like damage at the very end, and is not told as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from fallback.spool import Record
from fallback.spool.cursor import Cursor, read_cursor
from fallback.spool.io import Access, File, Files, RealFiles
from fallback.spool.opening import LOCK_NAME
from fallback.spool.recovery import segment_names
from fallback.spool.scan import Chunk, Damage, Stretch, scan
from fallback.spool.segment import HEADER_BYTES, SegmentName

_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Seen:
    """One record, and whether it was delivered."""

    record: Record
    is_pending: bool


@dataclass(frozen=True, slots=True)
class Hurt:
    """One stretch of damage in a segment; behind `is_tail` nothing was read."""

    segment: str
    damage: Damage
    is_tail: bool


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


def read_spool(directory: Path, files: Files | None = None) -> Iterator[Seen | Hurt]:
    """Everything in a spool, in the order of the sequence numbers. Raises `OSError`."""
    files = files or RealFiles()
    cursor = read_cursor(files, directory) or Cursor()
    names = segment_names(files, directory)
    ends: list[int | None] = [*(name.base for name in names[1:]), None]
    for name, end_seq in zip(names, ends, strict=True):
        path = directory / name.file_name()
        try:
            file = files.open(path, Access.READ)
        except FileNotFoundError:  # delivered since
            continue
        try:
            stretch = Stretch(
                name.marker, HEADER_BYTES, name.base, end_seq, files.size(path), _READ_BYTES
            )
            for chunk in _chunks(file, stretch):
                yield from _tell(chunk, name, cursor, is_last=end_seq is None)
        finally:
            file.close()


def _chunks(file: File, stretch: Stretch) -> Iterator[Chunk]:
    while True:
        chunk = scan(file, stretch)
        yield chunk
        if chunk.at_end:
            return
        stretch = replace(stretch, offset=chunk.next_offset, seq=chunk.next_seq)


def _tell(
    chunk: Chunk, name: SegmentName, cursor: Cursor, *, is_last: bool
) -> Iterator[Seen | Hurt]:
    for record in chunk.records:
        done = max(cursor.low_water, cursor.acked.get(record.lane, 0))
        yield Seen(record, is_pending=record.seq > done)
    if chunk.damage is not None:
        yield Hurt(name.file_name(), chunk.damage, is_tail=is_last and chunk.at_end)
