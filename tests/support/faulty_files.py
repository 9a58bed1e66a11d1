"""A file system in memory that forgets, tears and reorders what was not synced.

Twin of `fallback.spool.format.io.RealFiles`. Each file has what is on the disk, and the writes
since, of which a crash keeps any, in any order, whole or in part. Names are kept as an ordered list
of changes since the directory was synced, of which a crash keeps a prefix. A failed sync behaves as
Linux does: the writes stay readable, never reach the disk, and the next sync succeeds.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fallback.spool.format.io import Access, FaultPoint, File, Lock

SECTOR = 16
"""Writes tear at multiples of this. Small, so that small frames tear too."""


@dataclass
class _Write:
    offset: int
    data: bytes


@dataclass
class _Truncation:
    size: int


@dataclass
class Inode:
    """A file's content: on the disk, and as seen through the page cache."""

    disk: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    unsynced: list[_Write | _Truncation] = field(default_factory=list)

    def change(self, change: _Write | _Truncation) -> None:
        """Seen at once, on the disk some day."""
        _apply(self.seen, change)
        self.unsynced.append(change)

    def sync(self) -> None:
        """Put all changes on the disk."""
        for change in self.unsynced:
            _apply(self.disk, change)
        self.unsynced.clear()

    def crash(self, random: Random) -> None:
        """Keep some of what was not synced."""
        kept = [change for change in self.unsynced if random.random() < 0.5]
        random.shuffle(kept)
        for change in kept:
            tears = isinstance(change, _Write) and random.random() < 0.5
            _apply(self.disk, _torn(change, random) if tears else change)
        self.seen = bytearray(self.disk)
        self.unsynced.clear()


def _apply(content: bytearray, change: _Write | _Truncation) -> None:
    if isinstance(change, _Truncation):
        del content[change.size :]
        return
    end = change.offset + len(change.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[change.offset : end] = change.data


def _torn(write: _Write, random: Random) -> _Write:
    sectors = -(-len(write.data) // SECTOR)
    first = random.randrange(sectors + 1) * SECTOR
    last = random.randrange(first // SECTOR, sectors + 1) * SECTOR
    return _Write(write.offset + first, write.data[first:last])


@dataclass(frozen=True)
class _Renaming:
    """A change of the directory tree: `old` to `new`; None for appearing and vanishing."""

    old: Path | None
    new: Path | None
    inode: Inode


class FaultyFiles:
    """The file system. `faults` decide what fails; `crash` cuts the power."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        self.capacity = capacity
        """Bytes that all files together may hold; beyond, writes raise ENOSPC."""
        self.directories: set[Path] = set()
        self.names_seen: dict[Path, Inode] = {}
        self.names_on_disk: dict[Path, Inode] = {}
        self.unsynced_names: list[_Renaming] = []
        self.locks: set[Path] = set()
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, list[int]] = {}
        """By operation: errors that its next calls raise, 0 for a call that works."""
        self.on_point: Callable[[FaultPoint], None] = lambda _: None
        self.points: Counter[FaultPoint] = Counter()
        """How often each moment was reached."""

    def fail(self, operation: str, *codes: int) -> None:
        """Let the next calls of an operation raise these errors; 0 lets one pass."""
        self.faults.setdefault(operation, []).extend(codes)

    def crash(self, random: Random) -> None:
        """Cut the power: every handle and lock is void, what was not synced partly gone."""
        names = dict(self.names_on_disk)
        for change in self.unsynced_names[: random.randrange(len(self.unsynced_names) + 1)]:
            _rename(names, change)
        self.names_on_disk = dict(names)
        self.names_seen = dict(names)
        self.unsynced_names.clear()
        self.locks.clear()
        for inode in names.values():
            inode.crash(random)

    def kill(self) -> None:
        """End the process: locks are free, everything written stays."""
        self.locks.clear()

    def content(self, path: Path) -> bytearray:
        """A file as it is seen, to be read or damaged in place. Damage is on the disk at once."""
        return self.names_seen[path].seen

    def damage(self, path: Path, offset: int, data: bytes) -> None:
        """Change bytes behind the file system's back."""
        inode = self.names_seen[path]
        for content in (inode.seen, inode.disk):
            content[offset : offset + len(data)] = data[: max(0, len(content) - offset)]

    def used(self) -> int:
        """Bytes of all files."""
        return sum(len(inode.seen) for inode in self.names_seen.values())

    def open(self, path: Path, access: Access) -> File:
        self._call("open")
        inode = self.names_seen.get(path)
        if access is Access.CREATE:
            if inode is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            inode = Inode()
            self._change(_Renaming(None, path, inode))
        if inode is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return _Handle(self, inode, access)

    def lock(self, path: Path) -> Lock | None:
        self._call("lock")
        if path in self.locks:
            return None
        if path not in self.names_seen:
            self._change(_Renaming(None, path, Inode()))
        self.locks.add(path)
        return _Held(self, path)

    def names(self, directory: Path) -> list[str]:
        self._call("names")
        files = [path.name for path in self.names_seen if path.parent == directory]
        return files + [path.name for path in self.directories if path.parent == directory]

    def size(self, path: Path) -> int:
        if path not in self.names_seen:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return len(self.names_seen[path].seen)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename")
        self._change(_Renaming(old, new, self.names_seen[old]))

    def unlink(self, path: Path) -> None:
        self._call("unlink")
        if path not in self.names_seen:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        self._change(_Renaming(path, None, self.names_seen[path]))

    def make_directory(self, path: Path) -> None:
        self.directories.add(path)

    def remove_directory(self, path: Path) -> None:
        self.directories.discard(path)

    def sync_directory(self, path: Path) -> None:
        self._call("sync_directory")
        for change in self.unsynced_names:
            _rename(self.names_on_disk, change)
        self.unsynced_names.clear()

    def free_bytes(self, directory: Path) -> int:
        return max(0, self.capacity - self.used())

    def reached(self, point: FaultPoint) -> None:
        self.points[point] += 1
        self.on_point(point)

    def _change(self, change: _Renaming) -> None:
        _rename(self.names_seen, change)
        self.unsynced_names.append(change)

    def _call(self, operation: str) -> None:
        self.calls[operation] += 1
        codes = self.faults.get(operation)
        code = codes.pop(0) if codes else 0
        if code:
            raise OSError(code, os.strerror(code))


def _rename(names: dict[Path, Inode], change: _Renaming) -> None:
    if change.old is not None:
        names.pop(change.old, None)
    if change.new is not None:
        names[change.new] = change.inode


class _Handle:
    def __init__(self, files: FaultyFiles, inode: Inode, access: Access) -> None:
        self._files = files
        self._inode = inode
        self._access = access

    def read_at(self, offset: int, size: int) -> bytes:
        self._files._call("read")
        return bytes(self._inode.seen[offset : offset + max(0, size)])

    def write_at(self, offset: int, data: bytes) -> None:
        assert self._access is not Access.READ
        grows = max(0, offset + len(data) - len(self._inode.seen))
        if grows > self._files.free_bytes(Path()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            self._files._call("write")
        except OSError:
            self._inode.change(_Write(offset, data[: len(data) // 2]))
            self._lose()
            raise
        self._inode.change(_Write(offset, data))
        if self._access is Access.SYNCED:
            self._sync("write_synced")

    def sync(self) -> None:
        self._sync("sync")

    def truncate(self, size: int) -> None:
        self._files._call("truncate")
        self._inode.change(_Truncation(size))

    def close(self) -> None:
        self._files._call("close")

    def _sync(self, operation: str) -> None:
        try:
            self._files._call(operation)
        except OSError:
            self._lose()
            raise
        self._inode.sync()

    def _lose(self) -> None:
        """The pages are clean now, and never were written."""
        self._inode.unsynced.clear()


class _Held:
    def __init__(self, files: FaultyFiles, path: Path) -> None:
        self._files = files
        self._path = path

    def release(self) -> None:
        self._files.locks.discard(self._path)
