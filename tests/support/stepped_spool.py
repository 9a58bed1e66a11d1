"""A spool without threads: each step happens when the test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random

from fallback.spool.config import SpoolConfig
from fallback.spool.format.io import Files
from fallback.spool.format.record import Entry, Record, frame_bytes
from fallback.spool.format.scan import Damage
from fallback.spool.format.segment import SegmentName
from fallback.spool.reading.compaction import Compacted, Compaction
from fallback.spool.reading.index import LiveSegment
from fallback.spool.reading.lane import Lane
from fallback.spool.reading.read_job import read_segment
from fallback.spool.reading.reader import Reader
from fallback.spool.startup.opening import OpenedDirectory, open_directory
from fallback.spool.writing.writer import Stamped, Writer, WrittenRecords

DIRECTORY = Path("/spool")


def small_config(**changes: int) -> SpoolConfig:
    """Segments of 1 KiB, reads of 256 bytes, so that every boundary is met all the time."""
    facts = {
        "segment_bytes": 1024,
        "quota_bytes": 16 * 1024,
        "free_floor_bytes": 0,
        "unsynced_bytes": 512,
        "read_bytes": 256,
        "lookahead_bytes": 300,
        "lane_lookahead_bytes": 150,
        "quarantine_bytes": 1024,
    }
    return SpoolConfig(**(facts | changes))


class SteppedSpool:
    """Writer and reader of one opened spool. `close` as a process would, `crash` is the files'."""

    def __init__(
        self,
        files: Files,
        config: SpoolConfig,
        *,
        directory: Path = DIRECTORY,
        now_ms: Callable[[], int] = lambda: 1_000,
        seed: int = 0,
        with_intake: bool = True,
    ) -> None:
        self.files = files
        self.config = config
        self.directory = directory
        self.now_ms = now_ms
        self.opened: OpenedDirectory = open_directory(
            files,
            directory,
            config,
            now_ms=now_ms,
            random=Random(seed).randbytes,
            with_intake=with_intake,
        )
        self.writer: Writer = self.opened.writer
        self.reader = Reader(config, self.opened.recovered, _nothing, _nothing)
        self.reader.wants_index = True
        self.written: list[WrittenRecords] = []
        """Everything that was written, with its place."""
        self.compacted: Compacted | None = None
        """What was rewritten last."""
        self.damages: list[tuple[SegmentName, Damage]] = []

    @property
    def lost(self) -> int:
        """Records that the spool says are lost, so far."""
        return self.opened.recovered.lost_records + sum(d.lost for _, d in self.damages)

    @property
    def is_drained(self) -> bool:
        """Everything was read, and all of it is delivered."""
        return not self.reader.unread() and not self.reader.outstanding()

    def append(self, entries: Sequence[Entry], *, durable: bool = True) -> range | None:
        """Write entries at once. None: the spool is full. Raises `SpoolFailed`."""
        size = sum(map(frame_bytes, entries))
        try:
            while self.writer.room < size:
                with suppress(OSError):  # the preparer's thread goes on, too
                    self.writer.preallocation.prepare()
                if not self.writer.roll():
                    return None
            stamped = [Stamped(entry, self.now_ms()) for entry in entries]
            first = self.writer.commit(stamped, durable=durable)
        finally:
            self.take_written()
        return range(first, first + len(entries))

    def sync(self) -> None:
        try:
            self.writer.sync()
        finally:
            self.take_written()

    def take_written(self) -> None:
        """Let the reader see what was written."""
        for written in self.writer.take_written():
            self.written.append(written)
            self.reader.add_written(written)

    def read(self) -> bool:
        """Do one job of the reader. False: nobody wants anything."""
        job = self.reader.next_job()
        if job is None:
            return False
        new = self.reader.absorb(job, read_segment(self.files, self.directory, job))
        self.damages.extend((job.segment, damage) for damage in new)
        return True

    def read_all(self) -> None:
        """Do jobs until nobody wants anything."""
        for _ in range(2_000):
            if not self.read():
                return
        raise AssertionError("the reader never comes to rest")

    def take(self, lane: Lane, records: int = 10) -> tuple[Record, ...]:
        """Hand out what is read ahead."""
        return lane.take_ready(max_records=records, max_bytes=1 << 20)

    def drain(self) -> list[Record]:
        """Hand out and acknowledge everything, lane by lane."""
        drained: list[Record] = []
        while True:
            before = len(drained)
            self.read_all()
            for lane in list(self.reader.lanes.values()):
                while records := self.take(lane):
                    drained.extend(records)
                    lane.ack(records[-1].seq)
            if len(drained) == before and not self.read():
                return drained

    def save(self, *, synced: bool) -> None:
        cursor = replace(self.reader.cursor(), synced_seq=self.writer.synced_seq)
        self.writer.save_cursor(cursor, synced=synced)

    def sweep(self) -> list[SegmentName]:
        """Delete what is delivered."""
        given_up = self.reader.give_up_delivered()
        if given_up:
            cursor = replace(self.reader.cursor(), synced_seq=self.writer.synced_seq)
            self.writer.delete(given_up, cursor)
        return given_up

    def compact(self) -> LiveSegment | None:
        """Rewrite the segment of which the least is undelivered; None: none was worth it."""
        segment = self.reader.segments.compactable()
        if segment is None:
            return None
        compaction = Compaction(
            self.files,
            self.directory,
            segment,
            self.reader.outstanding(),
            read_bytes=self.config.read_bytes,
            bytes_at_most=segment.extent,
        )
        while not compaction.step():
            pass
        if not compaction.commit(self.opened.disk_usage):
            return None
        compacted = compaction.compacted
        segment.rewritten(compacted.records, compacted.offsets, len(compacted.data))
        self.compacted = compacted
        return segment

    def close(self) -> None:
        """End in good order."""
        self.sync()
        self.save(synced=True)
        self.writer.close()
        self.opened.close()


def _nothing() -> None:
    return
