"""Several spools under one roof: one for each living process, and those that dead ones left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from fallback.errors import SpoolLocked
from fallback.spool.config import SpoolConfig
from fallback.spool.cursor import FILE_NAME as CURSOR_NAME
from fallback.spool.facts import SpoolObserver
from fallback.spool.inspection import is_open
from fallback.spool.io import Files, RealFiles
from fallback.spool.opening import LOCK_NAME
from fallback.spool.recovery import segment_names
from fallback.spool.spool import Spool

_PREFIX = "spool-"
_PROCESSES_AT_MOST = 1_000


def spools(home: Path, *, files: Files | None = None) -> list[Path]:
    """The directories of all spools under a roof, which may be missing."""
    files = files or RealFiles()
    try:
        names = files.names(home)
    except FileNotFoundError:
        return []
    return sorted(home / name for name in names if name.startswith(_PREFIX))


def adoptable(home: Path, *, files: Files | None = None) -> list[Path]:
    """Those that nobody has open and that may hold something to deliver."""
    files = files or RealFiles()
    return [
        path
        for path in spools(home, files=files)
        if segment_names(files, path) and not is_open(path, files=files)
    ]


@asynccontextmanager
async def open_own(
    home: Path,
    config: SpoolConfig | None = None,
    *,
    files: Files | None = None,
    observers: tuple[SpoolObserver, ...] = (),
) -> AsyncIterator[Spool]:
    """Open the first spool under the roof that nobody has, made when there is none.

    So a process that comes again goes on with a spool that is there. Raises what `Spool.open`
    raises.
    """
    async with AsyncExitStack() as stack:
        for number in range(_PROCESSES_AT_MOST):
            directory = home / f"{_PREFIX}{number}"
            opening = Spool.open(directory, config, files=files, observers=observers)
            try:
                spool = await stack.enter_async_context(opening)
            except SpoolLocked:
                continue
            yield spool
            return
    raise SpoolLocked(f"{_PROCESSES_AT_MOST} spools are open")


def remove_drained(directory: Path, *, files: Files | None = None) -> bool:
    """Remove the directory of a spool that is closed and empty. Whether it is gone.

    One that holds segments, copies of damaged bytes, or that somebody has open, stays.
    """
    files = files or RealFiles()
    lock = files.lock(directory / LOCK_NAME)
    if lock is None:
        return False
    try:
        if not set(files.names(directory)) <= {LOCK_NAME, CURSOR_NAME}:
            return False
        files.unlink(directory / CURSOR_NAME)
        files.unlink(directory / LOCK_NAME)
        files.remove_directory(directory)
    finally:
        lock.release()
    return True
