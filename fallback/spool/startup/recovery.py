"""Opens what a former process left: cuts the torn tail, and finds where to go on.

Reads the cursor, the names, and one segment: the last. Older segments are read when somebody
wants their records. The last segment is never appended to again; what is written next starts a
new one, so a cut needs no sync to be safe.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from fallback.spool.format.cursor import Cursor
from fallback.spool.format.io import Access, Files
from fallback.spool.format.scan import Damage, Stretch, scan
from fallback.spool.format.segment import HEADER_BYTES, SegmentName
from fallback.spool.startup.quarantine import Quarantine
from fallback.spool.writing.preallocation import FILE_NAME as PREALLOCATION_NAME

COMPACTION_NAME = "thin.tmp"
_READ_BYTES = 1 << 20
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment of a former process."""

    name: SegmentName
    end_seq: int
    """The sequence number behind its last."""
    extent: int
    """Offset behind the last byte that may hold a frame."""
    size: int
    """Of the file."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found."""

    segments: tuple[Sealed, ...]
    cursor: Cursor
    next_seq: int
    next_number: int
    torn_bytes: int = 0
    """Cut from the tail: writes that nobody was told of."""
    lost_records: int = 0
    """Promised, and not there: the segments are missing."""
    corrupt_bytes: int = 0
    """Damaged bytes in the tail that held a promise."""


@dataclass(frozen=True, slots=True)
class _Tail:
    end_seq: int
    extent: int
    torn: Damage | None


def segment_names(files: Files, directory: Path) -> list[SegmentName]:
    """The segments of a directory, in order."""
    names = (SegmentName.parse(name) for name in files.names(directory))
    return sorted(name for name in names if name is not None)


def recover(
    files: Files,
    directory: Path,
    known: Cursor | None,
    quarantine: Quarantine,
) -> Recovered:
    """Make a directory ready to go on. Call under the lock. Raises `OSError`.

    Without a cursor (`known` is None) everything there is counts as undelivered, and nobody can
    tell what was there before the first segment.
    """
    for draft in {PREALLOCATION_NAME, COMPACTION_NAME} & set(files.names(directory)):
        files.unlink(directory / draft)
    names = segment_names(files, directory)
    # Above every number that was ever used here: a new name never meets an old file.
    next_number = names[-1].number + 1 if names else 1
    cursor = known or Cursor(names[0].base - 1 if names else 0)
    if not names:
        next_seq = cursor.highest() + 1
        lost = max(0, cursor.synced_seq - cursor.low_water)
        return Recovered((), cursor, next_seq, next_number, lost_records=lost)
    tail = _read_tail(files, directory / names[-1].file_name(), names[-1])
    # Numbers that only the cursor knows are a hole behind the last record: reading counts it.
    next_seq = max(tail.end_seq, cursor.highest() + 1)
    found = Recovered(
        _sealed(files, directory, names, tail, next_seq),
        cursor,
        next_seq,
        next_number,
        lost_records=max(0, names[0].base - cursor.low_water - 1),
    )
    if tail.torn is not None:
        # Behind the last record, and known to have been synced: then it is damage, and no tail.
        promised = cursor.synced_seq >= tail.end_seq
        found = _cut(files, directory, found, tail.torn, quarantine if promised else None)
    return _drop_delivered(files, directory, found)


def _read_tail(files: Files, path: Path, name: SegmentName) -> _Tail:
    size = files.size(path)
    seq, offset = name.base, HEADER_BYTES
    file = files.open(path, Access.WRITE)
    try:
        # A killed process leaves writes in the page cache that it never synced.
        file.sync()
        while True:
            stretch = Stretch(name.marker, offset, seq, None, size, _READ_BYTES)
            chunk = scan(file, stretch)
            if chunk.at_end:
                break
            seq, offset = chunk.next_seq, chunk.next_offset
    finally:
        file.close()
    return _Tail(chunk.next_seq, min(chunk.end, size), chunk.damage)


def _sealed(
    files: Files, directory: Path, names: list[SegmentName], tail: _Tail, next_seq: int
) -> tuple[Sealed, ...]:
    ends = [name.base for name in names[1:]] + [next_seq]
    sizes = [files.size(directory / name.file_name()) for name in names]
    extents = [*sizes[:-1], tail.extent]
    return tuple(
        Sealed(name, end, extent, size)
        for name, end, extent, size in zip(names, ends, extents, sizes, strict=True)
    )


def _cut(
    files: Files, directory: Path, found: Recovered, torn: Damage, quarantine: Quarantine | None
) -> Recovered:
    """Cut the tail off; keep a copy first if it held a promise."""
    last = found.segments[-1]
    file = files.open(directory / last.name.file_name(), Access.WRITE)
    try:
        if quarantine is not None:
            quarantine.keep(last.name, torn.at, file.read_at(torn.at, torn.size))
        file.truncate(torn.at)
    finally:
        file.close()
    promised = quarantine is not None
    _log.warning("spool tail cut", at=torn.at, size=torn.size, promised=promised)
    return replace(
        found,
        segments=(*found.segments[:-1], replace(last, extent=torn.at, size=torn.at)),
        torn_bytes=0 if promised else torn.size,
        corrupt_bytes=torn.size if promised else 0,
    )


def _drop_delivered(files: Files, directory: Path, found: Recovered) -> Recovered:
    """Delete segments that the cursor says are done: a crash came between it and the unlink."""
    kept = []
    for segment in found.segments:
        empty = segment.end_seq <= segment.name.base
        if empty or segment.end_seq <= found.cursor.low_water + 1:
            files.unlink(directory / segment.name.file_name())
        else:
            kept.append(segment)
    if len(kept) < len(found.segments):
        files.sync_directory(directory)
    return replace(found, segments=tuple(kept))
