"""How much the spool holds, how much it may hold, and whether it may take another segment."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from fallback.spool.config import MIB, SpoolConfig
from fallback.spool.format.io import Files

DEFAULT_QUOTA_BYTES = 4096 * MIB


def quota_for(free_bytes: int, segment_bytes: int = 16 * MIB) -> int:
    """A quota for a volume: a quarter of what is free now, at most 4 GiB, at least 3 segments."""
    return max(min(DEFAULT_QUOTA_BYTES, free_bytes // 4), 3 * segment_bytes)


@dataclass(frozen=True, slots=True)
class Space:
    """A moment's view of the room on the disk. Bytes."""

    used: int
    """Taken by records: whole sealed segments, and the written part of the active one."""
    ready: int
    """Still to be written in the active segment and the prepared one."""
    quota: int
    free: int
    floor: int

    @property
    def capacity(self) -> int:
        """How much `used` could grow to: the quota, or less where the volume ends before it."""
        return min(self.quota, self.used + self.ready + max(0, self.free - self.floor))

    @property
    def percent(self) -> int:
        """Share of the capacity that is used, 0 to 100."""
        capacity = self.capacity
        return min(100, self.used * 100 // capacity) if capacity > 0 else 100


class DiskUsage:
    """The sizes of the spool's files. Safe between threads."""

    def __init__(self, files: Files, directory: Path, config: SpoolConfig) -> None:
        self._files = files
        self._directory = directory
        self._limit = config.quota_bytes
        # Half a segment is left for the draft of one that is rewritten to make room.
        segments = (config.quota_bytes - config.segment_bytes // 2) // config.segment_bytes
        self._quota = segments * config.segment_bytes
        self._floor = config.free_floor_bytes
        self._sizes: dict[Path, int] = {}
        self._total = 0
        self._lock = threading.Lock()

    @property
    def total_bytes(self) -> int:
        """Sum of the files' sizes."""
        return self._total

    @property
    def quota_bytes(self) -> int:
        """What segments may take of the quota."""
        return self._quota

    def set(self, path: Path, size: int) -> None:
        """Enter a file, or its new size; 0 takes it out."""
        with self._lock:
            self._total += size - self._sizes.pop(path, 0)
            if size:
                self._sizes[path] = size

    def admits(self, size: int) -> bool:
        """Whether a new segment of this size keeps the quota and the free-space floor."""
        free = self._files.free_bytes(self._directory)
        return self._total + size <= self._quota and free - size >= self._floor

    def admits_draft(self, size: int) -> bool:
        """The same for a file that soon takes the place of a larger one: the floor may wait."""
        free = self._files.free_bytes(self._directory)
        return self._total + size <= self._limit and size <= free

    def size(self, path: Path) -> int:
        """The size entered for a file; 0 if none is."""
        return self._sizes.get(path, 0)

    def space(self, ready: int) -> Space:
        """The view now; `ready` bytes of the files are not yet used by records."""
        free = self._files.free_bytes(self._directory)
        return Space(max(0, self._total - ready), ready, self._quota, free, self._floor)
