"""An ext4 file system in a file, mounted through a loop device. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def demand_loop_volumes() -> None:
    """Skip the test, with a reason, where no volume can be mounted."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a volume")
    for tool in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")


@contextmanager
def mounted(image: Path, at: Path, options: str = "loop") -> Iterator[Path]:
    """Mount an image; skips the test where the kernel refuses."""
    at.mkdir(exist_ok=True)
    try:
        _run("mount", "-o", options, image, at)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"cannot mount a loop device: {error.stderr.decode().strip()}")
    try:
        yield at
    finally:
        _run("umount", at)


def make_image(path: Path, size: int) -> Path:
    """A new and empty ext4 image, without space reserved for root."""
    with path.open("wb") as file:
        file.truncate(size)
    _run("mkfs.ext4", "-q", "-m", "0", path)
    return path


def copy_image(image: Path, to: Path) -> Path:
    """What is on the "disk" now."""
    _run("cp", "--sparse=always", image, to)
    return to
