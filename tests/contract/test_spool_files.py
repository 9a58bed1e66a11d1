"""One suite for the real file system and its faulty twin, while nothing is at fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from fallback.spool.format.io import Access, FaultPoint, RealFiles
from tests.support.faulty_files import FaultyFiles


@pytest.fixture(params=["real", "twin"])
def files(request):
    return RealFiles() if request.param == "real" else FaultyFiles()


@pytest.fixture
def home(files, tmp_path):
    files.make_directory(tmp_path / "home")
    return tmp_path / "home"


def _create(files, path: Path, data: bytes = b"") -> None:
    file = files.open(path, Access.CREATE)
    file.write_at(0, data)
    file.close()


def test_file_reads_what_was_written_at_offsets(files, home):
    file = files.open(home / "a", Access.CREATE)
    file.write_at(0, b"0123456789")
    file.write_at(4, b"xy")
    file.write_at(12, b"z")
    file.sync()
    assert file.read_at(0, 100) == b"0123xy6789\0\0z"
    assert file.read_at(3, 3) == b"3xy"
    assert file.read_at(13, 1) == b""
    file.close()


def test_file_is_cut_by_truncation(files, home):
    _create(files, home / "a", b"0123456789")
    file = files.open(home / "a", Access.WRITE)
    file.truncate(4)
    file.close()
    assert files.size(home / "a") == 4


@pytest.mark.parametrize("access", [Access.READ, Access.WRITE, Access.SYNCED])
def test_open_of_missing_file_raises(files, home, access):
    with pytest.raises(FileNotFoundError):
        files.open(home / "a", access)


def test_size_of_missing_file_raises(files, home):
    with pytest.raises(FileNotFoundError):
        files.size(home / "a")


def test_create_of_present_file_raises(files, home):
    _create(files, home / "a")
    with pytest.raises(FileExistsError):
        files.open(home / "a", Access.CREATE)


def test_synced_file_takes_writes(files, home):
    _create(files, home / "a", bytes(8))
    file = files.open(home / "a", Access.SYNCED)
    file.write_at(2, b"ab")
    assert file.read_at(0, 8) == b"\0\0ab\0\0\0\0"
    file.close()


def test_names_follow_renames_and_deletions(files, home):
    _create(files, home / "a")
    _create(files, home / "b")
    files.rename(home / "a", home / "c")
    files.unlink(home / "b")
    files.sync_directory(home)
    assert files.names(home) == ["c"]
    with pytest.raises(FileNotFoundError):
        files.unlink(home / "b")


def test_rename_replaces_target(files, home):
    _create(files, home / "a", b"new")
    _create(files, home / "b", b"old")
    files.rename(home / "a", home / "b")
    assert files.open(home / "b", Access.READ).read_at(0, 9) == b"new"


def test_directories_are_made_listed_and_removed(files, home):
    files.make_directory(home / "inner")
    files.make_directory(home / "inner")
    assert files.names(home) == ["inner"]
    files.remove_directory(home / "inner")
    assert files.names(home) == []


def test_lock_is_held_once_until_released(files, home):
    lock = files.lock(home / "lock")
    assert lock is not None
    assert files.lock(home / "lock") is None
    lock.release()
    again = files.lock(home / "lock")
    assert again is not None
    again.release()


def test_free_space_is_told(files, home):
    assert files.free_bytes(home) > 0


def test_fault_points_do_nothing(files, home):
    _create(files, home / "a", b"content")
    for point in FaultPoint:
        files.reached(point)
    assert (files.names(home), files.size(home / "a")) == (["a"], 7)
