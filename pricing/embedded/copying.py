"""Copies of programs that the servers' user cannot reach where they are installed."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from pricing.embedded.directories import disk_reason, make_directory
from pricing.errors import StartupError


def copy_for_servers(source: Path, into: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Copy a file or tree into the directory `into`, so that the servers' user can run it.

    Made once: a copy that is already there is used. `without` are name patterns to leave out.
    Raises `StartupError` in one line; then nothing of the copy is left.
    """
    copy = make_directory(into) / source.name
    if copy.exists():
        return copy
    # Beside its place, so that half a copy is never taken for a whole one.
    fresh = copy.with_name(copy.name + ".new")
    try:
        _remove(fresh)
        if source.is_dir():
            shutil.copytree(source, fresh, ignore=shutil.ignore_patterns(*without), symlinks=True)
        else:
            shutil.copy2(source, fresh)
        open_to_others(fresh)
        fresh.rename(copy)
    except OSError as error:
        # Half a copy would keep the room that its disk may just have run out of.
        with contextlib.suppress(OSError):
            _remove(fresh)
        raise StartupError(f"cannot copy {source} to {copy}: {disk_reason(error)}") from error
    return copy


def open_to_others(path: Path) -> None:
    """Let everybody read a file or a tree, search its directories and run its programs."""
    for part in (path, *path.rglob("*")):
        if not part.is_symlink():
            mode = part.stat().st_mode
            part.chmod(mode | 0o444 | (0o111 if mode & 0o100 else 0))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
