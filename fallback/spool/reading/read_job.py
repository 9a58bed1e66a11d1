"""Reads a stretch of a segment from the disk, in small steps. Runs on the reading thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fallback.spool.format.io import Access, Files
from fallback.spool.format.scan import Chunk, Damage, Stretch, scan
from fallback.spool.format.segment import SegmentName

_STEP_BYTES = 64 * 1024
"""What is read in one go: about 0.2 ms of work."""
_REST_S = 0.00005


@dataclass(frozen=True, slots=True)
class ReadJob:
    """A stretch of a segment that somebody wants."""

    segment: SegmentName
    stretch: Stretch
    until_seq: int
    """Read at least past this sequence number, or to the segment's end."""
    is_urgent: bool
    """A lane waits for it; else it only completes the index."""


def read_segment(
    files: Files, directory: Path, job: ReadJob, *, rest: Callable[[float], None] = time.sleep
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
        # Deleted by hand: its records are lost, and counted as such. What we delete ourselves
        # was given up before, and no job is made for it.
        return [_hole(stretch)]
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


def _hole(stretch: Stretch) -> Chunk:
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
