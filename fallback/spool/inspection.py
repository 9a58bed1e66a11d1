"""Looks at a spool from outside, whoever has it open; and mends one that nobody has open.

Reads only, but for `repair`. While a process writes, its newest records may or may not be seen,
and segments that it deletes meanwhile are not missed.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from fallback.errors import SpoolLocked
from fallback.spool.config import SpoolConfig
from fallback.spool.cursor import Cursor, read_cursor
from fallback.spool.io import Access, Files, RealFiles
from fallback.spool.opening import LOCK_NAME, prepare_ground
from fallback.spool.quarantine import DIRECTORY as CORRUPT
from fallback.spool.quarantine import keep_damage
from fallback.spool.record import Record
from fallback.spool.recovery import segment_names
from fallback.spool.scan import Chunk, Damage, Stretch, scan
from fallback.spool.segment import HEADER_BYTES, SegmentName, decode_header, encode_header

_READ_BYTES = 1 << 20


class Fault(StrEnum):
    """What can be wrong."""

    CURSOR = "cursor"
    """No whole slot: everything that is there will be delivered again."""
    HEADER = "header"
    """A segment's header is damaged; no record depends on it."""
    MISSING = "missing"
    """Segments are gone that were not delivered."""
    DAMAGED = "damaged"
    """Records cannot be read."""
    TORN_TAIL = "torn-tail"
    """Bytes behind the last record. In a spool that is open, a write under way."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where."""

    fault: Fault
    file: str
    at: int = 0
    """Offset in the file."""
    size: int = 0
    """Bytes."""
    first_seq: int = 0
    lost: int = 0
    """Sequence numbers from `first_seq` on that have no record."""


@dataclass(frozen=True, slots=True)
class SegmentSummary:
    """One segment's file."""

    file: str
    size: int
    base: int
    end_seq: int | None
    """The sequence number behind its last; None for the last segment, whose end is not known."""


@dataclass(frozen=True, slots=True)
class SpoolSummary:
    """What names, sizes and the cursor tell, without a look at the records."""

    directory: Path
    is_open: bool
    """A living process has it."""
    segments: tuple[SegmentSummary, ...]
    size: int
    """Sum of the segments' files."""
    low_water: int
    """Everything up to here is delivered."""
    acked: dict[bytes, int]
    """By lane, where it is ahead of that."""
    quarantined: int
    """Damaged spans that were kept."""


class Exported(NamedTuple):
    """A record, and whether the cursor says that it was delivered."""

    record: Record
    is_delivered: bool


def inspect(directory: Path, *, files: Files | None = None) -> SpoolSummary:
    """Summarise a spool. Raises `OSError`."""
    files = files or RealFiles()
    cursor = read_cursor(files, directory) or Cursor()
    segments = []
    for name, end_seq in _with_ends(segment_names(files, directory)):
        try:
            size = files.size(directory / name.file_name())
        except FileNotFoundError:
            continue
        segments.append(SegmentSummary(name.file_name(), size, name.base, end_seq))
    has_corrupt = CORRUPT in files.names(directory)
    return SpoolSummary(
        directory,
        is_open(directory, files=files),
        tuple(segments),
        sum(segment.size for segment in segments),
        cursor.low_water,
        dict(cursor.acked),
        len(files.names(directory / CORRUPT)) if has_corrupt else 0,
    )


def is_open(directory: Path, *, files: Files | None = None) -> bool:
    """Whether a living process has the spool open. Holds its lock for a moment to find out."""
    files = files or RealFiles()
    if LOCK_NAME not in files.names(directory):
        return False
    lock = files.lock(directory / LOCK_NAME)
    if lock is not None:
        lock.release()
    return lock is None


def check(directory: Path, *, files: Files | None = None) -> list[Finding]:
    """Read everything and say what is wrong. Raises `OSError`."""
    files = files or RealFiles()
    findings = []
    cursor = read_cursor(files, directory)
    names = segment_names(files, directory)
    if cursor is None:
        findings.append(Finding(Fault.CURSOR, "cursor"))
    elif names and names[0].base > cursor.low_water + 1:
        first = cursor.low_water + 1
        findings.append(Finding(Fault.MISSING, "", first_seq=first, lost=names[0].base - first))
    for name, end_seq in _with_ends(names):
        if not _has_whole_header(files, directory, name):
            findings.append(Finding(Fault.HEADER, name.file_name(), size=HEADER_BYTES))
        for chunk in _chunks(files, directory, name, end_seq):
            if chunk.damage is not None:
                fault = _fault(chunk, end_seq)
                findings.append(Finding(fault, name.file_name(), *chunk.damage))
    return findings


def export(
    directory: Path, lane: bytes | None = None, *, files: Files | None = None
) -> Iterator[Exported]:
    """Every readable record of a lane, or of all, in order. Raises `OSError`."""
    files = files or RealFiles()
    cursor = read_cursor(files, directory) or Cursor()
    for name, end_seq in _with_ends(segment_names(files, directory)):
        for chunk in _chunks(files, directory, name, end_seq):
            for record in chunk.records:
                if lane is None or record.lane == lane:
                    done = max(cursor.low_water, cursor.acked.get(record.lane, 0))
                    yield Exported(record, record.seq <= done)


def repair(
    directory: Path, config: SpoolConfig | None = None, *, files: Files | None = None
) -> list[Finding]:
    """Mend what can be: cut the torn tail, write headers and cursor anew, keep damaged spans.

    What was wrong before. Nothing readable is lost by it, and nothing lost comes back: reading
    steps over the damage as before. Raises `SpoolLocked` if a process has it open, `SpoolFailed`.
    """
    files = files or RealFiles()
    config = config or SpoolConfig()
    if is_open(directory, files=files):
        raise SpoolLocked(f"{directory.name} is open elsewhere")
    findings = check(directory, files=files)
    ground = prepare_ground(
        files,
        directory,
        config,
        now_ms=lambda: 0,
        random=secrets.token_bytes,
        with_intake=False,
    )
    try:
        there = {name.file_name(): name for name in segment_names(files, directory)}
        for finding in findings:
            name = there.get(finding.file)
            if name is None:
                continue
            if finding.fault is Fault.HEADER:
                _write_header(files, directory, name)
            elif finding.fault is Fault.DAMAGED:
                damage = Damage(finding.at, finding.size, finding.first_seq, finding.lost)
                keep_damage(files, directory, ground.quarantine, name, damage)
    finally:
        ground.close()
    return findings


def _with_ends(names: list[SegmentName]) -> list[tuple[SegmentName, int | None]]:
    ends = [*(name.base for name in names[1:]), None]
    return list(zip(names, ends, strict=False))


def _chunks(
    files: Files, directory: Path, name: SegmentName, end_seq: int | None
) -> Iterator[Chunk]:
    """Read a segment; nothing if it was deleted."""
    path = directory / name.file_name()
    try:
        size = files.size(path)
        file = files.open(path, Access.READ)
    except FileNotFoundError:
        return
    stretch = Stretch(name.marker, HEADER_BYTES, name.base, end_seq, size, _READ_BYTES)
    try:
        while True:
            chunk = scan(file, stretch)
            yield chunk
            if chunk.at_end:
                return
            stretch = replace(stretch, offset=chunk.next_offset, seq=chunk.next_seq)
    finally:
        file.close()


def _fault(chunk: Chunk, end_seq: int | None) -> Fault:
    return Fault.TORN_TAIL if chunk.at_end and end_seq is None else Fault.DAMAGED


def _has_whole_header(files: Files, directory: Path, name: SegmentName) -> bool:
    try:
        file = files.open(directory / name.file_name(), Access.READ)
    except FileNotFoundError:
        return True
    try:
        header = decode_header(file.read_at(0, HEADER_BYTES))
    finally:
        file.close()
    return header is not None and header[0] == name


def _write_header(files: Files, directory: Path, name: SegmentName) -> None:
    file = files.open(directory / name.file_name(), Access.SYNCED)
    try:
        file.write_at(0, encode_header(name, 0))
    finally:
        file.close()
