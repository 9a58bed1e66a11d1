"""Feeds the lanes: from commits while they keep up, from the disk when they fell behind.

One scan at a time reads for all lanes that stand near its place, so that a backlog of many
lanes is read about once, not once a lane. A lane whose look-ahead is full stops taking and
remembers where; it costs the others nothing. When it wants again, the index takes the scan
straight to the blocks that hold its records.

Pure bookkeeping: decides what to read (`next_job`) and takes in what was read (`absorb`).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from fallback.spool.config import SpoolConfig
from fallback.spool.format.cursor import Cursor
from fallback.spool.format.record import Record
from fallback.spool.format.scan import Chunk, Damage, Stretch
from fallback.spool.format.segment import SegmentName
from fallback.spool.reading.index import LiveSegment, Spot
from fallback.spool.reading.lane import Lane
from fallback.spool.reading.lane_table import LaneTable
from fallback.spool.reading.read_job import ReadJob
from fallback.spool.reading.retention import Retention
from fallback.spool.startup.recovery import Recovered
from fallback.spool.writing.writer import WrittenRecords


class Reader:
    """Segments, lanes, and how far each has come. Belongs to the event loop."""

    def __init__(
        self,
        config: SpoolConfig,
        recovered: Recovered,
        on_want: Callable[[], None],
        on_ack: Callable[[], None],
    ) -> None:
        block_bytes = max(1, config.read_bytes // 2)
        segments = [
            LiveSegment(found.name, found.extent, found.end_seq, block_bytes)
            for found in recovered.segments
        ]
        self._read_bytes = config.read_bytes
        self._unindexed = deque(segments)
        self._head = recovered.next_seq
        self._reads = 0
        self._lane_table = LaneTable(config, recovered.cursor, on_want, on_ack)
        self.segments = Retention(segments, self._lane_table, block_bytes)
        self.lanes: dict[bytes, Lane] = self._lane_table.by_name
        """In the order in which they were found."""
        self.wants_index = False
        """Somebody wants to know every lane, so that backlog is read although no lane asks."""

    def unread(self) -> int:
        """Records of former processes that were not looked at yet."""
        done = self._lane_table.low_water + 1
        return sum(
            max(0, (segment.end_seq or 0) - max(done, segment.scanned.seq))
            for segment in self._unindexed
        )

    def cursor(self) -> Cursor:
        """What to write down now; how much is synced is for others to say."""
        # What was not read yet may be of any lane, so no low-water mark passes it.
        unread_from = self._unindexed[0].scanned.seq if self._unindexed else self._head
        return self._lane_table.cursor(unread_from)

    def outstanding(self) -> dict[bytes, int]:
        """By lane with undelivered records: the first of them."""
        return self._lane_table.outstanding()

    def add_written(self, written: WrittenRecords) -> None:
        """Take in what was just written; lanes that keep up get it without a read."""
        segment = self.segments.active(written.segment)
        segment.extent = written.end
        room = self._lane_table.lookahead_bytes()
        for number, record in enumerate(written.records):
            segment.note(record, written.offsets[number])
            # Those before `fresh` were handed out already, and moved here from a segment whose
            # disk failed: a second time would be a repeat.
            if number < written.fresh:
                continue
            lane = self.lanes.get(record.lane) or self._new_lane(record.lane)
            lane.pending += 1
            if not (lane.is_behind or lane.offer(record, room)):
                lane.fall_behind(record)
        self._head = max(self._head, written.records[-1].seq + 1)

    def next_job(self) -> ReadJob | None:
        """What to read now; None: nobody wants anything."""
        for lane in self._lane_table.hungry():
            place = self._locate(lane)
            if place is not None:
                self._reads += 1
                lane.served = self._reads
                return self._job(*place, lane.next_seq, is_urgent=True)
        if self.wants_index and self._unindexed:
            segment = self._unindexed[0]
            return self._job(segment, segment.scanned, segment.scanned.seq, is_urgent=False)
        return None

    def absorb(self, job: ReadJob, chunks: Sequence[Chunk]) -> list[Damage]:
        """Take in what a job read, or a part of it, in order.

        The damage in it, without what was met before.
        """
        segment = self.segments.find(job.segment)
        if segment is None:  # delivered and given up while the thread read it
            return []
        damages = []
        for chunk in chunks:
            self._take_in(segment, Spot(chunk.offset, chunk.seq), chunk)
            segment.resume = Spot(chunk.next_offset, chunk.next_seq)
            if chunk.damage is not None:
                damages.append(self._new_part(segment, chunk.damage))
        return [damage for damage in damages if damage.lost or damage.size]

    def give_up_delivered(self) -> list[SegmentName]:
        """Give up the segments at the front that are delivered; they may be deleted."""
        return self.segments.give_up_delivered()

    def close(self) -> None:
        """End the waits of all consumers."""
        self._lane_table.close()

    def _new_part(self, segment: LiveSegment, damage: Damage) -> Damage:
        """Damage without what was counted already, and without what is known to be delivered.

        Each lane that fell behind reads the same stretch again, and meets it again.
        """
        past = damage.first_seq + damage.lost
        first = max(damage.first_seq, min(past, self._lane_table.low_water + 1))
        return damage._replace(
            size=segment.damaged.add(damage.at, damage.at + damage.size),
            first_seq=first,
            lost=segment.lost.add(first, past),
        )

    def _new_lane(self, name: bytes) -> Lane:
        # A lane may have records in what was not read yet, and they come before the new ones.
        behind_from = self._unindexed[0].scanned.seq if self._unindexed else None
        return self._lane_table.add(name, behind_from=behind_from)

    def _locate(self, lane: Lane) -> tuple[LiveSegment, Spot] | None:
        """Where to read on for a lane; None: it has caught up."""
        for segment in self.segments.from_seq(lane.next_seq):
            spot = segment.find(lane.name, lane.next_seq)
            if spot is None and not segment.indexed:
                spot = segment.scanned
            if spot is None:
                continue
            seq = max(lane.next_seq, spot.seq)
            # The index of a suspect segment also knows what now counts in its successor.
            if segment.end_seq is None or seq < segment.end_seq:
                lane.next_seq = seq
                return segment, spot
        lane.catch_up()
        return None

    def _job(self, segment: LiveSegment, spot: Spot, until_seq: int, *, is_urgent: bool) -> ReadJob:
        # Of the active segment only what was committed: behind it the file is being written.
        end_seq = self._head if segment.end_seq is None else segment.end_seq
        stretch = Stretch(
            segment.name.marker, spot.offset, spot.seq, end_seq, segment.extent, self._read_bytes
        )
        return ReadJob(segment.name, stretch, until_seq, is_urgent)

    def _take_in(self, segment: LiveSegment, start: Spot, chunk: Chunk) -> None:
        # The index grows without a gap: a chunk that begins behind its end leaves it alone.
        if not segment.indexed and start.offset <= segment.scanned.offset <= chunk.next_offset:
            self._index(segment, chunk)
        room = self._lane_table.lookahead_bytes()
        # Only lanes whose next record can be in this chunk: another one would skip what lies
        # between, and the order within a lane would break.
        covered = {
            lane.name: lane
            for lane in self.lanes.values()
            if lane.is_behind and lane.is_active and start.seq <= lane.next_seq < chunk.next_seq
        }
        found: dict[bytes, list[Record]] = {name: [] for name in covered}
        for record in chunk.records:
            if record.lane in found:
                found[record.lane].append(record)
        for name, lane in covered.items():
            if not lane.offer_run(found[name], room):
                continue
            lane.move_on(chunk.next_seq)
            # `_head` may have grown since the job was made; then there is more to read.
            if chunk.next_seq >= self._head:
                lane.catch_up()

    def _index(self, segment: LiveSegment, chunk: Chunk) -> None:
        """Enter what was read for the first time; the chunk may have begun before it.

        Nothing is handed out that was not entered: it would be counted again when it is.
        """
        known = bisect_left(chunk.offsets, segment.scanned.offset)
        for record, offset in islice(zip(chunk.records, chunk.offsets, strict=True), known, None):
            if record.seq <= self._lane_table.acked(record.lane):
                continue
            segment.note(record, offset)
            lane = self.lanes.get(record.lane)
            if lane is None:
                lane = self._new_lane(record.lane)
                lane.behind_ms = record.appended_ms
            lane.pending += 1
        segment.scanned = Spot(chunk.next_offset, chunk.next_seq)
        if chunk.at_end:
            segment.indexed = True
            self._unindexed.remove(segment)  # not always the first: a lane may begin later
