"""Which segments must stay, which are delivered, and which are worth a rewrite.

Pure bookkeeping, on the event loop.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice

from fallback.spool.format.segment import HEADER_BYTES, SegmentName
from fallback.spool.reading.index import LiveSegment
from fallback.spool.reading.lane_table import LaneTable

_NOT_WORTH_IT_BYTES = 512
"""A segment this small is not worth a rewrite: header, and a frame for what was delivered."""


class Retention:
    """The segments that are not yet deleted, the oldest first."""

    def __init__(self, segments: Iterable[LiveSegment], lanes: LaneTable, block_bytes: int) -> None:
        self._segments = list(segments)
        self._lanes = lanes
        self._block_bytes = block_bytes
        self._blocker: bytes | None = None
        """The lane that held the front segment when it was last looked at."""

    def __iter__(self) -> Iterator[LiveSegment]:
        return iter(self._segments)

    def __contains__(self, segment: LiveSegment) -> bool:
        return segment in self._segments

    def find(self, name: SegmentName) -> LiveSegment | None:
        """The segment of that name; None: it was given up."""
        return next((segment for segment in self._segments if segment.name == name), None)

    def from_seq(self, seq: int) -> Iterator[LiveSegment]:
        """The segments that may hold a sequence number, and those behind it."""
        first = max(0, bisect_right(self._segments, seq, key=_base) - 1)
        return islice(self._segments, first, None)

    def active(self, name: SegmentName) -> LiveSegment:
        """The segment that is appended to. A new one says where the one before ends."""
        if self._segments and self._segments[-1].name == name:
            return self._segments[-1]
        if self._segments and self._segments[-1].end_seq is None:
            self._segments[-1].end_seq = name.base
        segment = LiveSegment(name, HEADER_BYTES, None, self._block_bytes)
        self._segments.append(segment)
        return segment

    def give_up_delivered(self) -> list[SegmentName]:
        """Give up the segments at the front that are delivered; they may be deleted.

        Only at the front: the cursor has one low-water mark, and everything below it is gone.
        """
        given_up = []
        while self._segments and self._is_delivered(self._segments[0]):
            segment = self._segments.pop(0)
            self._lanes.raise_low_water((segment.end_seq or 0) - 1)
            given_up.append(segment.name)
        return given_up

    def compactable(self) -> LiveSegment | None:
        """A sealed segment of which the least is undelivered; None: all are at least half full."""
        sealed = [one for one in self._segments if one.end_seq is not None and one.indexed]
        found = min(sealed, key=lambda one: self.held_bytes(one) - one.extent, default=None)
        if found is None or self.held_bytes(found) * 2 > found.extent - _NOT_WORTH_IT_BYTES:
            return None
        return found

    def held_bytes(self, segment: LiveSegment) -> int:
        """Bytes of the lanes that have undelivered records in a segment."""
        return sum(
            presence.size
            for name, presence in segment.lanes.items()
            if self._is_behind(name, segment)
        )

    def _is_delivered(self, segment: LiveSegment) -> bool:
        # Not before all of it was read: a record that nobody has seen yet is nobody's, and the
        # file of one that is being rewritten must not go away under the rename.
        if segment.end_seq is None or not segment.indexed or segment.is_busy:
            return False
        self._blocker = self._undelivered_lane(segment)
        return self._blocker is None

    def _undelivered_lane(self, segment: LiveSegment) -> bytes | None:
        """A lane with undelivered records in the segment. Looks first at the one found last."""
        # This runs after every acknowledgement, and a parked lane holds the front for hours.
        if self._blocker in segment.lanes and self._is_behind(self._blocker, segment):
            return self._blocker
        return next((lane for lane in segment.lanes if self._is_behind(lane, segment)), None)

    def _is_behind(self, name: bytes | None, segment: LiveSegment) -> bool:
        if name is None:
            return False
        first = self._lanes.by_name[name].first_outstanding()
        return first is not None and first <= segment.lanes[name].last_seq


def _base(segment: LiveSegment) -> int:
    return segment.name.base
