"""Everything that is written: frames, segments, cursor, deletions. Belongs to one thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import structlog

from fallback.errors import SpoolFailed
from fallback.spool.config import SpoolConfig
from fallback.spool.format.cursor import Cursor, CursorFile
from fallback.spool.format.io import Access, FaultPoint, Files
from fallback.spool.format.record import Entry, Record
from fallback.spool.format.segment import ActiveSegment, SegmentName, encode_header, new_marker
from fallback.spool.writing.preallocation import Preallocation
from fallback.spool.writing.quota import DiskUsage

_log = structlog.get_logger(__name__)


class Stamped(NamedTuple):
    """An entry and when it came."""

    entry: Entry
    appended_ms: int


@dataclass(frozen=True, slots=True)
class WrittenRecords:
    """Records that were written, and where."""

    segment: SegmentName
    records: Sequence[Record]
    offsets: Sequence[int]
    end: int
    """Offset behind the last of them."""
    fresh: int
    """Index of the first that was not written before; those in front moved here."""


class Writer:
    """Appends to the active segment, and rolls, rewrites, and deletes.

    After a failed write or sync the active segment is suspect: it is left as it is, and all
    that was not known to be on the disk is written again into a new one, whose first sequence
    number says where the old one ends. If that fails too, the writer has failed for good.
    """

    def __init__(
        self,
        directory: Path,
        config: SpoolConfig,
        *,
        files: Files,
        disk_usage: DiskUsage,
        cursor_file: CursorFile,
        next_seq: int,
        next_number: int,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self.preallocation = Preallocation(files, directory, config.segment_bytes, disk_usage)
        self._directory = directory
        self._config = config
        self._files = files
        self._disk_usage = disk_usage
        self._cursor_file = cursor_file
        self._next_number = next_number
        self._now_ms = now_ms
        self._random = random
        self._active: ActiveSegment | None = None
        self._unsynced: list[Record] = []
        self._unsynced_bytes = 0
        self._written: list[WrittenRecords] = []
        self.next_seq = next_seq
        self.synced_seq = next_seq - 1
        """Everything up to here is on the disk."""
        self.sync_errors = 0
        self.has_failed = False

    @property
    def room(self) -> int:
        """Bytes of frames that fit without a roll."""
        return 0 if self._active is None else self._active.room

    @property
    def unsynced(self) -> int:
        """Number of records that a power cut would lose."""
        return len(self._unsynced)

    @property
    def active(self) -> SegmentName | None:
        """The segment that is appended to; None before the first, and after a failure."""
        return None if self._active is None else self._active.name

    def take_written(self) -> list[WrittenRecords]:
        """What was written since the last call, in order."""
        written, self._written = self._written, []
        return written

    def roll(self) -> bool:
        """Go on in a new segment. False: there is no room for one. Raises `SpoolFailed`."""
        self._check()
        # Synced before the next segment begins: its base promises that all before it is there.
        if self._unsynced:
            segment = self._active
            self.sync()
            if self._active is not segment:  # the sync failed, and that has rolled already
                return True
        if not self.preallocation.ready_bytes:
            return False
        try:
            self._open_next(self.next_seq)
        except OSError as error:
            self._rescue(error, [])
        return True

    def commit(self, entries: Sequence[Stamped], *, durable: bool) -> int:
        """Write entries that fit into `room`; with `durable`, return once they are on the disk.

        The sequence number of the first. Raises `SpoolFailed`; then none counts as stored.
        """
        self._check()
        first = self.next_seq
        records = [
            Record(seq, entry.lane, entry.body, appended_ms)
            for seq, (entry, appended_ms) in enumerate(entries, first)
        ]
        try:
            self._put(records, 0, durable=durable)
        except OSError as error:
            self._rescue(error, records)
        # Only now: after a failure the numbers were never given to anybody.
        self.next_seq = first + len(records)
        return first

    def sync(self) -> None:
        """Make all that is written durable. Raises `SpoolFailed`."""
        self._check()
        if not self._unsynced or self._active is None:
            return
        try:
            self._active.sync()
        except OSError as error:
            self._rescue(error, [])
        else:
            self._all_synced(self._unsynced[-1].seq)

    def save_cursor(self, cursor: Cursor, *, synced: bool) -> None:
        """Write the acknowledgements. Raises `OSError`."""
        self._cursor_file.write(cursor, synced=synced)

    def delete(self, segments: Sequence[SegmentName], cursor: Cursor) -> None:
        """Delete delivered segments, all below the cursor's low-water mark. Raises `OSError`.

        The cursor must be on the disk first: a crash in between would else show a hole.
        """
        self._cursor_file.write(cursor, synced=True)
        # A second try after a failed one finds some of them gone.
        there = set(self._files.names(self._directory))
        for segment in segments:
            path = self._directory / segment.file_name()
            if path.name in there:
                self._files.unlink(path)
            self._disk_usage.set(path, 0)
            self._files.reached(FaultPoint.UNLINKED)
        self._files.sync_directory(self._directory)
        self._files.reached(FaultPoint.DIRECTORY_SYNCED)

    def close(self) -> None:
        """Close the files. Call `sync` first. Raises `OSError`."""
        self._files.reached(FaultPoint.CLOSING)
        active, self._active = self._active, None
        if active is not None:
            active.close()

    def _check(self) -> None:
        if self.has_failed:
            raise SpoolFailed("the disk failed")

    def _put(self, records: list[Record], fresh: int, *, durable: bool) -> None:
        active = self._active
        if active is None:
            raise OSError("no segment is open")
        start = active.end
        frames = active.frames(records)
        data = b"".join(frames)
        # Bounded: what is not synced is kept in memory, to be written again if its sync fails.
        durable = durable or self._unsynced_bytes + len(data) > self._config.unsynced_bytes
        self._files.reached(FaultPoint.BEFORE_WRITE)
        # One call instead of two where nothing else waits for a sync: O_DSYNC covers this write
        # alone, not those before it.
        active.write(data, synced=durable and not self._unsynced)
        self._files.reached(FaultPoint.WRITTEN)
        if durable:
            if self._unsynced:
                active.sync()
            self._all_synced(records[-1].seq)
            self._files.reached(FaultPoint.COMMITTED)
        else:
            self._unsynced.extend(records)
            self._unsynced_bytes += len(data)
        offsets = _offsets(start, frames)
        self._written.append(WrittenRecords(active.name, records, offsets, active.end, fresh))

    def _all_synced(self, seq: int) -> None:
        self.synced_seq = seq
        self._unsynced = []
        self._unsynced_bytes = 0

    def _rescue(self, error: OSError, records: list[Record]) -> None:
        """Write what is not safe again, into a new segment."""
        self.sync_errors += 1
        _log.error("spool write failed, going on in a new segment", error=repr(error))
        # Also what was written without an error: after a failed sync the kernel has dropped the
        # pages, and a second sync would say that all is well.
        moved = len(self._unsynced)
        records = [*self._unsynced, *records]
        self._unsynced, self._unsynced_bytes = [], 0
        try:
            self.preallocation.prepare()
            self._open_next(records[0].seq if records else self.next_seq)
            if records:
                self._put(records, moved, durable=True)
        except OSError as second:
            self.has_failed = True
            _log.critical("spool failed", error=repr(second))
            raise SpoolFailed(f"the disk failed twice: {error!r}, {second!r}") from second

    def _open_next(self, base: int) -> None:
        """Close the active segment and open the prepared file in its place. Raises `OSError`."""
        name = SegmentName(self._next_number, base, new_marker(self._random(4)))
        path = self._directory / name.file_name()
        header = encode_header(name, self._now_ms())
        self._next_number += 1
        try:
            self._write_header(header)
        except OSError:
            self.preallocation.spoil()
            raise
        # Header, name, directory: a segment that has a name after a crash is whole.
        self.preallocation.take(path)
        self._files.sync_directory(self._directory)
        self._files.reached(FaultPoint.ROLLED)
        active = ActiveSegment(self._files, path, name, self._config.segment_bytes)
        previous, self._active = self._active, active
        if previous is not None:
            with contextlib.suppress(OSError):  # it is synced, or already known to be suspect
                previous.close()

    def _write_header(self, header: bytes) -> None:
        file = self._files.open(self.preallocation.path, Access.SYNCED)
        try:
            file.write_at(0, header)
        finally:
            file.close()
        self._files.reached(FaultPoint.HEADER_WRITTEN)


def _offsets(start: int, frames: Sequence[bytes]) -> list[int]:
    offsets = []
    for frame in frames:
        offsets.append(start)
        start += len(frame)
    return offsets
