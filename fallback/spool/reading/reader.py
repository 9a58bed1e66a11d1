"""Feeds the lanes: from commits while they keep up, from the disk when they fell behind.

One scan at a time reads for all lanes that stand near its place, so that a backlog of many
lanes is read about once, not once a lane. A lane whose look-ahead is full stops taking and
remembers where; it costs the others nothing. When it wants again, the index takes the scan
straight to the blocks that hold its records.

Pure bookkeeping: decides what to read (`next_job`) and takes in what was read (`absorb`).
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from fallback.spool.config import SpoolConfig
from fallback.spool.format.cursor import Cursor
from fallback.spool.format.io import Access, Files
from fallback.spool.format.record import Record
from fallback.spool.format.scan import Chunk, Damage, Stretch, scan
from fallback.spool.format.segment import HEADER_BYTES, SegmentName
from fallback.spool.reading.index import LiveSegment, Spot
from fallback.spool.reading.lane import Lane
from fallback.spool.startup.recovery import Recovered
from fallback.spool.writing.writer import WrittenRecords

_STEP_BYTES = 64 * 1024
"""What is read in one go: about 0.2 ms of work."""
_REST_S = 0.00005
_THIN_BYTES = 512
"""A segment this small is not worth a rewrite: header, and a frame for what was delivered."""


@dataclass(frozen=True, slots=True)
class Job:
    """A stretch of a segment that somebody wants."""

    segment: SegmentName
    stretch: Stretch
    until_seq: int
    """Read at least past this sequence number, or to the segment's end."""
    is_urgent: bool
    """A lane waits for it; else it only completes the index."""


class Reader:
    """Segments, lanes, and how far each has come. Belongs to the event loop."""

    def __init__(
        self,
        config: SpoolConfig,
        recovered: Recovered,
        on_want: Callable[[], None],
        on_ack: Callable[[], None],
    ) -> None:
        self._config = config
        self._block_bytes = max(1, config.read_bytes // 2)
        self._segments = [
            LiveSegment(found.name, found.extent, found.end_seq, self._block_bytes)
            for found in recovered.segments
        ]
        self._unindexed = deque(self._segments)
        self._acked = dict(recovered.cursor.acked)
        self._head = recovered.next_seq
        self._blocker: bytes | None = None
        self._turn = 0
        self._on_want = on_want
        self._on_ack = on_ack
        self.low_water = recovered.cursor.low_water
        """Everything up to here is delivered; segments that end here are given up."""
        self.lanes: dict[bytes, Lane] = {}
        """In the order in which they were found."""
        self.wants_index = False
        """Somebody wants to know every lane, so that backlog is read although no lane asks."""

    @property
    def is_drained(self) -> bool:
        """No segment is left, or only the one that is appended to, with nothing undelivered."""
        return all(
            segment.indexed and self._undelivered_lane(segment) is None
            for segment in self._segments
        )

    def unread(self) -> int:
        """Records of former processes that were not looked at yet."""
        done = self.low_water + 1
        return sum(
            max(0, (segment.end_seq or 0) - max(done, segment.scanned.seq))
            for segment in self._unindexed
        )

    def cursor(self) -> Cursor:
        """What to write down now; how much is synced is for others to say."""
        firsts = [self._unindexed[0].scanned.seq] if self._unindexed else [self._head]
        firsts += self.outstanding().values()
        low_water = max(self.low_water, min(firsts) - 1)
        ahead = {lane: seq for lane, seq in self._acked.items() if seq > low_water}
        return Cursor(low_water, 0, ahead)

    def place(self, placed: WrittenRecords) -> None:
        """Take in what was just written; lanes that keep up get it without a read."""
        segment = self._current(placed.segment)
        segment.extent = placed.end
        room = self._room()
        for number, record in enumerate(placed.records):
            segment.note(record, placed.offsets[number])
            if number < placed.fresh:
                continue
            lane = self.lanes.get(record.lane) or self._new_lane(record.lane)
            lane.pending += 1
            if not (lane.is_behind or lane.offer(record, room)):
                lane.fall_behind(record)
        self._head = max(self._head, placed.records[-1].seq + 1)

    def next_job(self) -> Job | None:
        """What to read now; None: nobody wants anything."""
        room = self._room()
        hungry = [lane for lane in self.lanes.values() if lane.wants(room)]
        hungry.sort(key=lambda lane: (not lane.is_starving(), lane.served))
        for lane in hungry:
            place = self._locate(lane)
            if place is not None:
                self._turn += 1
                lane.served = self._turn
                return self._job(*place, lane.next_seq, is_urgent=True)
        if self.wants_index and self._unindexed:
            segment = self._unindexed[0]
            return self._job(segment, segment.scanned, segment.scanned.seq, is_urgent=False)
        return None

    def absorb(self, job: Job, chunks: Sequence[Chunk]) -> list[Damage]:
        """Take in what a job read, or a part of it, in order.

        The damage in it, without what was met before.
        """
        found = [segment for segment in self._segments if segment.name == job.segment]
        if not found:
            return []
        damages = []
        for chunk in chunks:
            self._take_in(found[0], Spot(chunk.offset, chunk.seq), chunk)
            found[0].resume = Spot(chunk.next_offset, chunk.next_seq)
            if chunk.damage is not None:
                damages.append(self._new_part(found[0], chunk.damage))
        return [damage for damage in damages if damage.lost or damage.size]

    def sweep(self) -> list[SegmentName]:
        """Give up the segments at the front that are delivered; they may be deleted."""
        given_up = []
        while self._segments and self._is_delivered(self._segments[0]):
            segment = self._segments.pop(0)
            self.low_water = max(self.low_water, (segment.end_seq or 0) - 1)
            given_up.append(segment.name)
        if given_up:
            self._acked = {lane: seq for lane, seq in self._acked.items() if seq > self.low_water}
        return given_up

    def thinnest(self) -> LiveSegment | None:
        """A sealed segment of which the least is undelivered; None: all are at least half full."""
        sealed = [one for one in self._segments if one.end_seq is not None and one.indexed]
        found = min(sealed, key=lambda one: self.held(one) - one.extent, default=None)
        if found is None or self.held(found) * 2 > found.extent - _THIN_BYTES:
            return None
        return found

    def held(self, segment: LiveSegment) -> int:
        """Bytes of the lanes that have undelivered records in a segment."""
        return sum(
            presence.size
            for name, presence in segment.lanes.items()
            if self._is_behind(name, segment)
        )

    def outstanding(self) -> dict[bytes, int]:
        """By lane with undelivered records: the first of them."""
        firsts = {name: lane.first_outstanding() for name, lane in self.lanes.items()}
        return {name: first for name, first in firsts.items() if first is not None}

    def holds(self, segment: LiveSegment) -> bool:
        """Whether a segment is still there."""
        return segment in self._segments

    def close(self) -> None:
        """End the waits of all consumers."""
        for lane in self.lanes.values():
            lane.close()

    def _new_part(self, segment: LiveSegment, damage: Damage) -> Damage:
        """Damage without what was counted already, and without what is known to be delivered."""
        past = damage.first_seq + damage.lost
        first = max(damage.first_seq, min(past, self.low_water + 1))
        return damage._replace(
            size=segment.damaged.add(damage.at, damage.at + damage.size),
            first_seq=first,
            lost=segment.lost.add(first, past),
        )

    def _room(self) -> int:
        share = self._config.lookahead_bytes // max(1, len(self.lanes))
        return max(self._config.lane_lookahead_bytes, share)

    def _new_lane(self, name: bytes) -> Lane:
        lane = Lane(name, max(self.low_water, self._acked.get(name, 0)), self._on_want)
        lane.listen(self._note_ack)
        if self._unindexed:
            lane.is_behind = True
            lane.next_seq = max(self._unindexed[0].scanned.seq, lane.acked + 1)
        self.lanes[name] = lane
        return lane

    def _note_ack(self, lane: Lane) -> None:
        self._acked[lane.name] = lane.acked
        self._on_ack()

    def _current(self, name: SegmentName) -> LiveSegment:
        """The segment that is appended to. A new one says where the one before ends."""
        if self._segments and self._segments[-1].name == name:
            return self._segments[-1]
        if self._segments and self._segments[-1].end_seq is None:
            self._segments[-1].end_seq = name.base
        segment = LiveSegment(name, HEADER_BYTES, None, self._block_bytes)
        self._segments.append(segment)
        return segment

    def _locate(self, lane: Lane) -> tuple[LiveSegment, Spot] | None:
        """Where to read on for a lane; None: it has caught up."""
        first = max(0, bisect_right(self._segments, lane.next_seq, key=_base) - 1)
        for segment in islice(self._segments, first, None):
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

    def _job(self, segment: LiveSegment, spot: Spot, until_seq: int, *, is_urgent: bool) -> Job:
        end_seq = self._head if segment.end_seq is None else segment.end_seq
        stretch = Stretch(
            segment.name.marker,
            spot.offset,
            spot.seq,
            end_seq,
            segment.extent,
            self._config.read_bytes,
        )
        return Job(segment.name, stretch, until_seq, is_urgent)

    def _take_in(self, segment: LiveSegment, start: Spot, chunk: Chunk) -> None:
        if not segment.indexed and start.offset <= segment.scanned.offset <= chunk.next_offset:
            self._index(segment, chunk)
        room = self._room()
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
            if chunk.next_seq >= self._head:
                lane.catch_up()

    def _index(self, segment: LiveSegment, chunk: Chunk) -> None:
        """Enter what was read for the first time; the chunk may have begun before it.

        Nothing is handed out that was not entered: it would be counted again when it is.
        """
        known = bisect_left(chunk.offsets, segment.scanned.offset)
        for record, offset in islice(zip(chunk.records, chunk.offsets, strict=True), known, None):
            if record.seq <= max(self.low_water, self._acked.get(record.lane, 0)):
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

    def _is_delivered(self, segment: LiveSegment) -> bool:
        if segment.end_seq is None or not segment.indexed or segment.is_busy:
            return False
        self._blocker = self._undelivered_lane(segment)
        return self._blocker is None

    def _undelivered_lane(self, segment: LiveSegment) -> bytes | None:
        """A lane with undelivered records in the segment. Looks first at the one found last."""
        if self._blocker in segment.lanes and self._is_behind(self._blocker, segment):
            return self._blocker
        return next((lane for lane in segment.lanes if self._is_behind(lane, segment)), None)

    def _is_behind(self, name: bytes | None, segment: LiveSegment) -> bool:
        if name is None:
            return False
        first = self.lanes[name].first_outstanding()
        return first is not None and first <= segment.lanes[name].last_seq


def _base(segment: LiveSegment) -> int:
    return segment.name.base


def read(
    files: Files, directory: Path, job: Job, *, rest: Callable[[float], None] = time.sleep
) -> list[Chunk]:
    """Do a job. A segment that is gone reads as one hole. Raises `OSError`.

    In small steps with a rest between them: the interpreter runs one thread at a time, and who
    reads must not keep the event loop waiting.
    """
    stretch = replace(job.stretch, limit=min(_STEP_BYTES, job.stretch.limit))
    enough = job.stretch.offset + job.stretch.limit
    try:
        file = files.open(directory / job.segment.file_name(), Access.READ)
    except FileNotFoundError:
        return [_nothing(stretch)]
    chunks = []
    try:
        while True:
            chunk = scan(file, stretch)
            chunks.append(chunk)
            is_enough = chunk.next_offset + stretch.limit > enough
            if chunk.at_end or (is_enough and chunk.next_seq > job.until_seq):
                return chunks
            stretch = replace(stretch, offset=chunk.next_offset, seq=chunk.next_seq)
            rest(_REST_S)
    finally:
        file.close()


def _nothing(stretch: Stretch) -> Chunk:
    end_seq = stretch.seq if stretch.end_seq is None else stretch.end_seq
    hole = Damage(stretch.offset, 0, stretch.seq, end_seq - stretch.seq)
    return Chunk(
        stretch.offset,
        stretch.seq,
        damage=hole,
        next_offset=stretch.extent,
        next_seq=end_seq,
        at_end=True,
    )
