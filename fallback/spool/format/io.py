"""The port to the disk, and its real side.

Everything that the spool does to files goes through `Files`, so that a test can put a file
system in its place that tears, reorders and forgets, or kill the process at a named point.
"""

from __future__ import annotations

import fcntl
import os
from enum import Enum, StrEnum
from pathlib import Path
from typing import Protocol

from fallback.atomic_file import sync_directory


class Access(Enum):
    """How to open a file. Every file is binary and accessed by offset."""

    READ = os.O_RDONLY
    WRITE = os.O_RDWR
    SYNCED = os.O_RDWR | os.O_DSYNC
    """A write returns once its bytes are on the disk."""
    CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL
    """Raises `FileExistsError`."""


class FaultPoint(StrEnum):
    """The moments at which a crash is worth a test."""

    BEFORE_WRITE = "before-write"
    WRITTEN = "written"
    COMMITTED = "committed"
    """On the disk; the caller does not know yet."""
    HEADER_WRITTEN = "header-written"
    ROLLED = "rolled"
    PREALLOCATION_HALF = "preallocation-half"
    CURSOR_WRITTEN = "cursor-written"
    CURSOR_SYNCED = "cursor-synced"
    UNLINKED = "unlinked"
    DIRECTORY_SYNCED = "directory-synced"
    QUARANTINED = "quarantined"
    COMPACTED = "compacted"
    """Renamed, the directory not yet synced."""
    CLOSING = "closing"


class File(Protocol):
    """An open file. Every method may raise `OSError`."""

    def read_at(self, offset: int, size: int) -> bytes:
        """As many bytes as there are, at most `size`."""
        ...

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data`."""
        ...

    def sync(self) -> None:
        """Return once the file's data is on the disk.

        After a failure nothing is known of what was written since the last success: Linux marks
        the pages clean, and a second call returns success without having written them.
        """
        ...

    def truncate(self, size: int) -> None: ...

    def close(self) -> None: ...


class Lock(Protocol):
    """A lock that is held until `release`, or until the process ends."""

    def release(self) -> None: ...


class Files(Protocol):
    """A file system. Every method but `reached` may raise `OSError`."""

    def open(self, path: Path, access: Access) -> File: ...

    def lock(self, path: Path) -> Lock | None:
        """Lock a file, made when missing. None: someone else holds it."""
        ...

    def names(self, directory: Path) -> list[str]: ...

    def size(self, path: Path) -> int: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...

    def make_directory(self, path: Path) -> None:
        """Make a directory and its parents, where missing."""
        ...

    def remove_directory(self, path: Path) -> None: ...

    def sync_directory(self, path: Path) -> None:
        """Make creations, renames and deletions in a directory durable."""
        ...

    def free_bytes(self, directory: Path) -> int:
        """What the volume has left for an unprivileged process."""
        ...

    def reached(self, point: FaultPoint) -> None:
        """Mark a moment. Does nothing, but in tests."""
        ...


class RealFile:
    """A file descriptor."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read_at(self, offset: int, size: int) -> bytes:
        pieces = []
        while size > 0:
            piece = os.pread(self._descriptor, size, offset)
            if not piece:
                break
            pieces.append(piece)
            offset += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write_at(self, offset: int, data: bytes) -> None:
        done = os.pwrite(self._descriptor, data, offset)
        while done < len(data):
            done += os.pwrite(self._descriptor, memoryview(data)[done:], offset + done)

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        os.close(self._descriptor)


class RealLock:
    """An flock; it belongs to the open file, so it ends with the process, however that ends."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


class RealFiles:
    """The operating system's files."""

    def open(self, path: Path, access: Access) -> File:
        return RealFile(os.open(path, access.value | os.O_CLOEXEC, 0o640))

    def lock(self, path: Path) -> Lock | None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            if _is_locked(descriptor, path):
                return RealLock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def names(self, directory: Path) -> list[str]:
        return os.listdir(directory)  # noqa: PTH208 - names are wanted, not paths

    def size(self, path: Path) -> int:
        return path.stat().st_size

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def make_directory(self, path: Path) -> None:
        path.mkdir(mode=0o750, parents=True, exist_ok=True)

    def remove_directory(self, path: Path) -> None:
        path.rmdir()

    def sync_directory(self, path: Path) -> None:
        sync_directory(path)

    def free_bytes(self, directory: Path) -> int:
        volume = os.statvfs(directory)
        return volume.f_bavail * volume.f_frsize

    def reached(self, point: FaultPoint) -> None:
        del point


def _is_locked(descriptor: int, path: Path) -> bool:
    """Lock an open file. False: another holds it, or removed it since it was opened."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        return False
