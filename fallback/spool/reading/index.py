"""What is known in memory of a segment: which lanes have records in it, and where about.

A segment is divided into blocks; for each lane a bit per block tells whether it has records
there. A lane that fell behind thus reads only the blocks that hold something for it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from fallback.spool.format.record import OVERHEAD, Record
from fallback.spool.format.segment import HEADER_BYTES, SegmentName


class Spot(NamedTuple):
    """A frame's start, and the sequence number expected there."""

    offset: int
    seq: int


class Ranges:
    """A set of whole numbers, kept as ranges."""

    __slots__ = ("_ranges",)

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> int:
        """Add [start, end). How many of them were new."""
        new = end - start
        kept = []
        # Few ranges at any time: damage is rare, and neighbours melt into one.
        for low, high in self._ranges:
            if high < start or end < low:
                kept.append((low, high))
                continue
            new -= max(0, min(high, end) - max(low, start))
            start, end = min(low, start), max(high, end)
        self._ranges = [*kept, (start, end)]
        return max(0, new)


class Presence:
    """One lane in one segment."""

    __slots__ = ("blocks", "last_seq", "size")

    def __init__(self) -> None:
        self.last_seq = 0
        self.size = 0
        """Bytes of its frames."""
        self.blocks = 0
        """Bit n: the n-th block has records of the lane."""


class LiveSegment:
    """One segment that is not yet deleted."""

    __slots__ = (
        "_block",
        "_block_bytes",
        "_block_offsets",
        "_block_seqs",
        "damaged",
        "end_seq",
        "extent",
        "indexed",
        "is_busy",
        "lanes",
        "lost",
        "name",
        "resume",
        "scanned",
    )

    def __init__(
        self, name: SegmentName, extent: int, end_seq: int | None, block_bytes: int
    ) -> None:
        self.name = name
        self._block_bytes = block_bytes
        self.extent = extent
        """Offset behind the last byte that may hold a frame."""
        self.end_seq = end_seq
        """The sequence number behind its last; None while it is appended to."""
        self.lanes: dict[bytes, Presence] = {}
        self.scanned = Spot(HEADER_BYTES, name.base)
        """The index is complete up to here."""
        self.resume = self.scanned
        """Where the last read ended: whoever goes on from there reads nothing twice."""
        self.is_busy = False
        """It is being rewritten, and must not be deleted now."""
        self.indexed = end_seq is None
        """The index holds every record. True from the start for a segment of our own."""
        self.lost = Ranges()
        """Sequence numbers that were counted as lost."""
        self.damaged = Ranges()
        """Offsets that were counted as damaged."""
        self._block = -1
        self._block_seqs = array("Q")
        self._block_offsets = array("Q")

    def note(self, record: Record, offset: int) -> None:
        """Enter a record; in the order of the file."""
        block = offset // self._block_bytes
        if block != self._block:
            self._block = block
            self._block_seqs.append(record.seq)
            self._block_offsets.append(offset)
        presence = self.lanes.get(record.lane)
        if presence is None:
            presence = self.lanes[record.lane] = Presence()
        presence.last_seq = record.seq
        presence.size += OVERHEAD + len(record.lane) + len(record.body)
        presence.blocks |= 1 << len(self._block_seqs) - 1

    def rewritten(self, records: Sequence[Record], offsets: Sequence[int], extent: int) -> None:
        """The file holds only these records now, there."""
        self.lanes = {}
        self._block = -1
        self._block_seqs = array("Q")
        self._block_offsets = array("Q")
        for record, offset in zip(records, offsets, strict=True):
            self.note(record, offset)
        self.extent = extent
        self.damaged = Ranges()
        self.resume = Spot(HEADER_BYTES, self.name.base)

    def find(self, lane: bytes, seq: int) -> Spot | None:
        """Where to read on for the lane's first record from `seq` on, as far as is indexed."""
        presence = self.lanes.get(lane)
        if presence is None or presence.last_seq < seq:
            return None
        first = max(0, bisect_right(self._block_seqs, seq) - 1)
        blocks = presence.blocks >> first
        block = first + (blocks & -blocks).bit_length() - 1
        spot = Spot(self._block_offsets[block], self._block_seqs[block])
        # A reader that goes on from its last place need not begin at the block's start again.
        return self.resume if spot.seq < self.resume.seq <= seq else spot
