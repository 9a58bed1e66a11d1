"""A file that is replaced as a whole: after a crash at any moment it is the old one or the new one.

The spool's cursor and segments do the same through `spool.format.io.Files`, because their tests
put a file system in its place.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` in the place of a file; durable on return, and nothing else left behind.

    Callers of one process take turns at one path; processes may race, and the last one wins.

    Raises:
        OSError: The file is the old one, whole. Where only the directory could not be synced it
            is the new one, which a power cut may still take back.
    """
    # By process, so that two of them never write one draft. Not random, so that what a killed
    # process left is overwritten by its successor in the same container.
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        _write_synced(draft, data, mode)
        # The data is on the disk before the name points to it: renamed first, a power cut could
        # leave an empty file under the name.
        draft.replace(path)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make creations, renames and deletions in a directory durable. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_synced(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        done = 0
        while done < len(data):  # one call takes at most 2 GiB, and less where a disk is full
            done += os.write(descriptor, memoryview(data)[done:])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
