"""Keeps copies of damaged bytes in `corrupt/`, up to a limit, for whoever wants to look."""

from __future__ import annotations

from pathlib import Path

import structlog

from fallback.spool.format.io import Access, FaultPoint, Files
from fallback.spool.format.scan import Damage
from fallback.spool.format.segment import SegmentName
from fallback.spool.writing.quota import DiskUsage

DIRECTORY = "corrupt"
_log = structlog.get_logger(__name__)


class Quarantine:
    """The `corrupt/` directory of one spool. One thread at a time."""

    def __init__(
        self, files: Files, directory: Path, limit: int, disk_usage: DiskUsage | None
    ) -> None:
        self._files = files
        self._directory = directory / DIRECTORY
        self._limit = limit
        self._disk_usage = disk_usage
        self._total = 0
        if DIRECTORY in files.names(directory):
            for name in files.names(self._directory):
                self._count(self._directory / name, files.size(self._directory / name))

    @property
    def total_bytes(self) -> int:
        """Sum of the copies' sizes."""
        return self._total

    def keep(self, segment: SegmentName, at: int, data: bytes) -> bool:
        """Copy a damaged span. False: not kept, for lack of room or a disk that refuses.

        Whatever goes wrong here must not stop those who read past the damage.
        """
        if not data or self._total + len(data) > self._limit:
            return False
        try:
            self._write(f"{segment.file_name()}-{at:010d}.bin", data)
        except OSError as error:
            _log.warning("damaged span not kept", error=repr(error))
            return False
        self._files.reached(FaultPoint.QUARANTINED)
        return True

    def _write(self, name: str, data: bytes) -> None:
        self._files.make_directory(self._directory)
        if name in self._files.names(self._directory):
            return
        path = self._directory / name
        file = self._files.open(path, Access.CREATE)
        self._count(path, len(data))
        try:
            file.write_at(0, data)
            file.sync()
        finally:
            file.close()

    def _count(self, path: Path, size: int) -> None:
        self._total += size
        if self._disk_usage is not None:
            self._disk_usage.set(path, size)


def keep_damage(
    files: Files, directory: Path, quarantine: Quarantine, segment: SegmentName, damage: Damage
) -> None:
    """Copy the bytes of a damage aside, if they can be read and there is room."""
    try:
        file = files.open(directory / segment.file_name(), Access.READ)
        try:
            data = file.read_at(damage.at, damage.size)
        finally:
            file.close()
    except OSError as error:
        _log.warning("damaged span not kept", error=repr(error))
        return
    quarantine.keep(segment, damage.at, data)
