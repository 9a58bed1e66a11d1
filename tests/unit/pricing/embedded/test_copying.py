"""Copies of the servers' programs: whole or not at all, and what is said where one fails."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import shutil
import threading

import pytest

from pricing.embedded import copying, directories
from pricing.embedded.copying import copy_for_servers
from pricing.embedded.wheels import located
from pricing.errors import StartupError, os_reason
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def plain_user(monkeypatch):
    """Whoever runs this: pytest's directories are closed to root's servers."""
    monkeypatch.setattr(directories, "unprivileged_user", lambda: None)


@pytest.fixture
def program(tmp_path):
    """Three files in a tree, one of which can be run."""
    tree = tmp_path / "install"
    (tree / "bin").mkdir(parents=True)
    for name in ("bin/postgres", "share.sql", "LICENSE"):
        (tree / name).write_text(name)
    (tree / "bin/postgres").chmod(0o700)
    return tree


def test_copy_can_be_read_and_run_by_others(program, tmp_path):
    copy = copy_for_servers(program, tmp_path / "programs", without=("LICENSE",))
    assert (copy / "bin/postgres").stat().st_mode & 0o777 == 0o755
    assert not (copy / "LICENSE").exists()


def test_full_disk_is_told_once_and_the_half_copy_removed(program, tmp_path, monkeypatch):
    def full(source, target, **_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StartupError, match=r"left on device \(3 files\): make room") as caught:
        copy_for_servers(program, tmp_path / "programs")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "programs").iterdir())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "No space left on device"),
        (shutil.Error([("a", "b", "[Errno 13] Permission denied: 'a'")]), "Permission denied"),
        (shutil.Error([("a", "b", "odd"), ("a", "b", "[Errno 5] I/O error")]), "odd, I/O error"),
        (shutil.Error("`a` is a named pipe"), "`a` is a named pipe"),
        (OSError(), "OSError"),
    ],
)
def test_reason_of_an_error_is_never_none(error, reason):
    assert os_reason(error) == reason


@pytest.mark.parametrize("is_full", [False, True])
async def test_cancelled_search_ends_with_its_copying(program, tmp_path, monkeypatch, is_full):
    copytree, begun, may_end = shutil.copytree, threading.Event(), threading.Event()
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))

    def slow(*arguments, **options):
        begun.set()
        may_end.wait(30)
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copytree(*arguments, **options)

    monkeypatch.setattr(copying.shutil, "copytree", slow)
    searching = asyncio.create_task(
        located(lambda runtime: copy_for_servers(program, runtime), tmp_path / "programs")
    )
    await until(begun.is_set, "the copying has begun")
    for _ in range(2):  # however often it is told
        searching.cancel()
        await asyncio.wait((searching,), timeout=0.05)
        assert not searching.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await searching
    assert [path.name for path in (tmp_path / "programs").iterdir()] == ["install"] * (not is_full)
    del searching
    await asyncio.sleep(0)  # the loop lets go of it
    gc.collect()  # a task complains of an error that nobody asked for when it goes
    assert not complaints
