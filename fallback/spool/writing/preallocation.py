"""The next segment's file: written full of zeros before it is needed.

A commit then changes no metadata (a growing file costs an inode write for each sync), and a
full disk shows here, ahead of time, and not in the middle of a commit.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from fallback.spool.format.io import Access, FaultPoint, Files
from fallback.spool.wakeup import Wakeup
from fallback.spool.writing.quota import DiskUsage

FILE_NAME = "spare.tmp"
NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT))
_PIECE = 256 * 1024
_RETRY_S = 0.5
_log = structlog.get_logger(__name__)


class Preallocation:
    """At most one prepared file. `prepare` may run on any thread, one at a time."""

    def __init__(
        self, files: Files, directory: Path, segment_bytes: int, disk_usage: DiskUsage
    ) -> None:
        self.path = directory / FILE_NAME
        self._files = files
        self._segment_bytes = segment_bytes
        self._disk_usage = disk_usage
        self._lock = threading.Lock()
        self._is_ready = False

    @property
    def ready_bytes(self) -> int:
        """Size of the prepared file; 0 if there is none."""
        return self._segment_bytes if self._is_ready else 0

    def prepare(self) -> bool:
        """Make the file unless it is there; waits for another thread that is at it.

        False: quota or volume are full. Raises `OSError` for a disk that is broken.
        """
        with self._lock:
            if self._is_ready:
                return True
            if not self._disk_usage.admits(self._segment_bytes):
                return False
            # Entered before it is written, so that a rewrite does not take the same room.
            self._disk_usage.set(self.path, self._segment_bytes)
            try:
                self._fill()
            except OSError as error:
                self._discard()
                if error.errno in NO_SPACE:
                    return False
                raise
            self._is_ready = True
            return True

    def take(self, target: Path) -> None:
        """Give the prepared file its name as a segment. Raises `OSError`."""
        with self._lock:
            self._files.rename(self.path, target)
            self._is_ready = False
            self._disk_usage.set(self.path, 0)
            self._disk_usage.set(target, self._segment_bytes)

    def spoil(self) -> None:
        """Give up the prepared file: it could not be written to."""
        with self._lock:
            self._is_ready = False
            self._discard()

    def _fill(self) -> None:
        if self.path.name in self._files.names(self.path.parent):
            self._files.unlink(self.path)
        file = self._files.open(self.path, Access.CREATE)
        try:
            # Synced piece by piece: one sync of it all would hold up the commits meanwhile.
            for at in range(0, self._segment_bytes, _PIECE):
                file.write_at(at, bytes(min(_PIECE, self._segment_bytes - at)))
                file.sync()
                if at <= self._segment_bytes // 2 < at + _PIECE:
                    self._files.reached(FaultPoint.PREALLOCATION_HALF)
        finally:
            file.close()

    def _discard(self) -> None:
        try:
            self._files.unlink(self.path)
        except OSError:
            return
        self._disk_usage.set(self.path, 0)


class Preparer:
    """The thread that keeps the next segment's file ready."""

    def __init__(self, preallocation: Preallocation, on_change: Callable[[], None]) -> None:
        self._preallocation = preallocation
        self._on_change = on_change
        self._wakeup = Wakeup()
        self._is_stopping = False
        self.is_refused = False
        """There is no room for another segment."""
        self._thread = threading.Thread(target=self._run, name="spool-preparer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be something to prepare, or room for it."""
        self._wakeup.wake()

    def stop(self) -> None:
        self._is_stopping = True
        self._wakeup.wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end. False: the disk did not answer in time. True if never started."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._is_stopping:
            was_ready = bool(self._preallocation.ready_bytes)
            try:
                is_ready = self._preallocation.prepare()
            except OSError as error:
                _log.warning("cannot prepare a segment", error=repr(error))
                is_ready = False
            # Set before the writer is woken: it decides by this whether the spool is full.
            self.is_refused = not is_ready
            if not is_ready or not was_ready:
                self._on_change()
            # Others may make room on the volume, and tell nobody.
            self._wakeup.wait(None if is_ready else _RETRY_S)
