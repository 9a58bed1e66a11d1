"""Puts the parts of a spool together: lock, cursor, recovery, first segment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fallback.errors import SpoolFailed, SpoolLocked
from fallback.spool.config import SpoolConfig
from fallback.spool.format.cursor import CursorFile
from fallback.spool.format.io import Files, Lock
from fallback.spool.startup.quarantine import Quarantine
from fallback.spool.startup.recovery import Recovered, recover
from fallback.spool.writing.preallocation import NO_SPACE
from fallback.spool.writing.quota import DiskUsage
from fallback.spool.writing.writer import Writer

LOCK_NAME = "lock"
_LOCK_TRIES = 4
_LOCK_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class OpenedDirectory:
    """An opened spool before its threads start."""

    lock: Lock
    disk_usage: DiskUsage
    quarantine: Quarantine
    recovered: Recovered
    cursor_file: CursorFile
    writer: Writer

    def close(self) -> None:
        """Close what the threads do not."""
        try:
            self.cursor_file.close()
        finally:
            self.lock.release()


def open_directory(
    files: Files,
    directory: Path,
    config: SpoolConfig,
    *,
    now_ms: Callable[[], int],
    random: Callable[[int], bytes],
    with_intake: bool,
) -> OpenedDirectory:
    """Lock and recover a directory, made when missing. Blocks.

    Raises `SpoolLocked`, and `SpoolFailed` for a disk that does not let it begin. A full disk
    is no reason not to begin: what is stored can be delivered, and room be made.
    """
    try:
        files.make_directory(directory)
        lock = _lock(files, directory)
    except OSError as error:
        raise SpoolFailed(f"cannot lock: {error!r}") from error
    if lock is None:
        raise SpoolLocked(f"{directory.name} is open elsewhere")
    try:
        opened = _recover(files, directory, config, lock, now_ms, random)
        if with_intake:
            _open_first_segment(opened.writer)
    except OSError as error:
        lock.release()
        raise SpoolFailed(f"cannot open: {error!r}") from error
    except BaseException:
        lock.release()
        raise
    return opened


def _lock(files: Files, directory: Path) -> Lock | None:
    """Lock it. Tries again for a moment: whoever looks whether it is open holds the lock, too."""
    pause = threading.Event()
    for _ in range(_LOCK_TRIES):
        lock = files.lock(directory / LOCK_NAME)
        if lock is not None:
            return lock
        pause.wait(_LOCK_PAUSE_S)
    return None


def _recover(
    files: Files,
    directory: Path,
    config: SpoolConfig,
    lock: Lock,
    now_ms: Callable[[], int],
    random: Callable[[int], bytes],
) -> OpenedDirectory:
    disk_usage = DiskUsage(files, directory, config)
    cursor_file = CursorFile(files, directory)
    # Before the recovery, which may have bytes to keep, and after the lock: it counts its files.
    quarantine = Quarantine(files, directory, config.quarantine_bytes, disk_usage)
    recovered = recover(files, directory, cursor_file.recovered, quarantine)
    for segment in recovered.segments:
        disk_usage.set(directory / segment.name.file_name(), segment.size)
    writer = Writer(
        directory,
        config,
        files=files,
        disk_usage=disk_usage,
        cursor_file=cursor_file,
        next_seq=recovered.next_seq,
        next_number=recovered.next_number,
        now_ms=now_ms,
        random=random,
    )
    # From here on a cursor without a valid slot means damage, and never a new spool.
    first = recovered.segments[0].name.base if recovered.segments else recovered.next_seq
    low_water = max(recovered.cursor.low_water, first - 1)
    cursor = replace(recovered.cursor, low_water=low_water, synced_seq=recovered.next_seq - 1)
    writer.save_cursor(cursor, synced=True)
    recovered = replace(recovered, cursor=cursor)
    return OpenedDirectory(lock, disk_usage, quarantine, recovered, cursor_file, writer)


def _open_first_segment(writer: Writer) -> None:
    try:
        if writer.preallocation.prepare():
            writer.roll()
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
