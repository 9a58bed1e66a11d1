"""Rewrites a segment without its delivered records, for as long as a few lanes hold it.

A lane that nobody drains would else keep every segment that has a record of it, and fill the
quota with what all other lanes have long delivered. The new file takes the place of the old one
under the same name, in one rename: whoever opens the name finds one or the other, whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from fallback.spool.format.io import Access, FaultPoint, File, Files
from fallback.spool.format.record import Record, encode, encode_passed
from fallback.spool.format.scan import Chunk, Stretch, scan
from fallback.spool.format.segment import HEADER_BYTES, SegmentName, decode_header, encode_header
from fallback.spool.reading.index import LiveSegment
from fallback.spool.startup.recovery import COMPACTION_NAME
from fallback.spool.writing.preallocation import NO_SPACE
from fallback.spool.writing.quota import DiskUsage


@dataclass(slots=True)
class Compacted:
    """What a segment comes to."""

    name: SegmentName
    records: list[Record] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    data: bytearray = field(default_factory=bytearray)
    """The new file."""


class Compaction:
    """One segment under way. `step` until it says True, then `commit`. May block.

    `outstanding`: for each lane that has undelivered records, the first of them. Taken once at
    the start: what is delivered meanwhile is kept, which costs room and nothing else.
    """

    def __init__(
        self,
        files: Files,
        directory: Path,
        segment: LiveSegment,
        outstanding: Mapping[bytes, int],
        *,
        read_bytes: int,
        bytes_at_most: int,
    ) -> None:
        self._files = files
        self._directory = directory
        self._path = directory / segment.name.file_name()
        self._outstanding = outstanding
        self._bytes_at_most = bytes_at_most
        self._passed_from: int | None = None
        self._stretch = Stretch(
            segment.name.marker,
            HEADER_BYTES,
            segment.name.base,
            segment.end_seq,
            segment.extent,
            read_bytes,
        )
        self.compacted = Compacted(segment.name)

    def step(self) -> bool:
        """Read some more. Whether that was the last. Raises `OSError`."""
        file = self._files.open(self._path, Access.READ)
        try:
            if not self.compacted.data:
                self.compacted.data += _header(file, self.compacted.name)
            chunk = scan(file, self._stretch)
        finally:
            file.close()
        self._take(chunk)
        self._stretch = replace(self._stretch, offset=chunk.next_offset, seq=chunk.next_seq)
        return chunk.at_end

    def commit(self, disk_usage: DiskUsage) -> bool:
        """Put the new file in the old one's place. False: there is no gain, or no room for it.

        Raises `OSError`; the old file is then still there.
        """
        size = len(self.compacted.data)
        if size > self._bytes_at_most or not disk_usage.admits_draft(size):
            return False
        draft = self._directory / COMPACTION_NAME
        if COMPACTION_NAME in self._files.names(self._directory):
            self._files.unlink(draft)
        # Entered before it is written: the preparer must not take the same room meanwhile.
        disk_usage.set(draft, size)
        try:
            self._write(draft)
            self._files.rename(draft, self._path)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._files.unlink(draft)
            if error.errno in NO_SPACE:
                return False
            raise
        finally:
            disk_usage.set(draft, 0)
        disk_usage.set(self._path, size)
        self._files.reached(FaultPoint.COMPACTED)
        with contextlib.suppress(OSError):  # after a crash, the old file does as well
            self._files.sync_directory(self._directory)
        return True

    def _write(self, draft: Path) -> None:
        file = self._files.open(draft, Access.CREATE)
        try:
            file.write_at(0, bytes(self.compacted.data))
            # Before the rename: a power cut must find one whole file under the name.
            file.sync()
        finally:
            file.close()

    def _take(self, chunk: Chunk) -> None:
        """Keep what is undelivered. Lost numbers stay a hole: they were not delivered."""
        lost = chunk.damage.lost if chunk.damage is not None else 0
        seq = self._stretch.seq
        for record in chunk.records:
            self._pass(seq, record.seq)
            seq = record.seq + 1
            first = self._outstanding.get(record.lane)
            if first is None or record.seq < first:
                self._pass(record.seq, seq)
            else:
                # What stands for the delivered ones comes first: numbers stay dense and rising.
                self._close_run(record.seq)
                self._keep(record)
        self._pass(seq, chunk.next_seq - lost)
        if lost or chunk.at_end:
            self._close_run(chunk.next_seq - lost)

    def _pass(self, seq: int, past: int) -> None:
        if seq < past and self._passed_from is None:
            self._passed_from = seq

    def _close_run(self, past: int) -> None:
        if self._passed_from is not None:
            frame = encode_passed(self._passed_from, past, self.compacted.name.marker)
            self.compacted.data += frame
            self._passed_from = None

    def _keep(self, record: Record) -> None:
        compacted = self.compacted
        compacted.records.append(record)
        compacted.offsets.append(len(compacted.data))
        compacted.data += encode(record, compacted.name.marker)


def _header(file: File, name: SegmentName) -> bytes:
    """The header as it was; a damaged one anew, but for the time."""
    data = file.read_at(0, HEADER_BYTES)
    found = decode_header(data)
    return data if found is not None and found[0] == name else encode_header(name, 0)
