from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from pricing.embedded.process import is_alive
from pricing.errors import StartupError
from pricing.local.children import Child, Command, child_environment

SLEEP = "import time; time.sleep(60)"
FAIL = "import sys; print('a start'); sys.exit('equilibrium: no Redis: start it')"


def _child(directory: Path, code: str, *, age_s: float = 0.0) -> Child:
    """`age_s` passes between any two looks at the clock."""
    looks = iter(range(1_000_000))
    return Child(
        Command(name="api", argv=(sys.executable, "-c", code)),
        directory,
        {"PATH": os.environ["PATH"]},
        monotonic=lambda: next(looks) * age_s,
    )


async def _until_gone(pid: int) -> None:
    async with asyncio.timeout(60):
        while is_alive(pid):
            await asyncio.sleep(0.01)


async def test_child_that_succeeds_is_finished(tmp_path: Path):
    child = _child(tmp_path, "print('hello')")
    await child.finish(10)
    assert child.log.read_text() == "hello\n"
    assert child.pid is None


async def test_child_that_fails_says_why_in_its_own_words(tmp_path: Path):
    child = _child(tmp_path, FAIL)
    with pytest.raises(StartupError, match=r"^api failed: no Redis: start it \(log: .*\)$"):
        await child.finish(10)


async def test_child_that_does_not_end_in_time_is_killed(tmp_path: Path):
    child = _child(tmp_path, SLEEP)
    with pytest.raises(StartupError, match=r"^the api has not ended within 0\.05 s"):
        await child.finish(0.05)
    assert child.pid is None


async def test_child_that_cannot_run_says_so(tmp_path: Path):
    child = Child(
        Command(name="api", argv=("/nowhere/program",)), tmp_path, {}, monotonic=time.monotonic
    )
    with pytest.raises(StartupError, match=r"^api failed: cannot run /nowhere/program"):
        await child.finish(10)


async def test_child_in_a_directory_that_cannot_be_made_says_so(tmp_path: Path):
    (tmp_path / "api").touch()
    with pytest.raises(StartupError, match=r"^cannot use the directory"):
        await _child(tmp_path, SLEEP).start()


async def test_child_that_is_killed_is_started_again(tmp_path: Path):
    child, said = _child(tmp_path, SLEEP, age_s=10), list[str]()
    await child.start()
    first = child.pid
    assert first is not None
    watch = asyncio.create_task(child.keep_running(said.append))
    os.kill(first, 9)
    async with asyncio.timeout(60):
        while child.pid in (None, first):
            await asyncio.sleep(0.01)
    watch.cancel()
    await child.stop()
    assert said == ["the api ended (by signal 9): starting it again"]


async def test_child_that_keeps_ending_at_once_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pricing.local.children._PAUSE_S", 0.0)
    child, said = _child(tmp_path, FAIL), list[str]()
    await child.start()
    with pytest.raises(StartupError, match=r"^the api cannot run: no Redis: start it"):
        await asyncio.wait_for(child.keep_running(said.append), 20)
    assert said == ["the api ended (with exit code 1): starting it again"] * 2


async def test_child_that_ended_fails_its_check(tmp_path: Path):
    child = _child(tmp_path, FAIL)
    await child.start()
    assert child.pid is not None
    await _until_gone(child.pid)
    with pytest.raises(StartupError, match=r"^the api cannot run: no Redis"):
        child.check()
    await child.stop()


async def test_child_that_is_stopped_is_gone(tmp_path: Path):
    child = _child(tmp_path, SLEEP)
    await child.start()
    pid = child.pid
    await child.stop()
    await child.stop()
    assert pid is not None
    assert not is_alive(pid)


def test_child_environment_has_settings_over_ours_and_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EQUILIBRIUM_ZONES_FILE", "zones.csv")
    monkeypatch.setenv("EQUILIBRIUM_HTTP_PORT", "1")
    environment = child_environment({"EQUILIBRIUM_HTTP_PORT": "8000"})
    assert environment["EQUILIBRIUM_HTTP_PORT"] == "8000"
    assert environment["EQUILIBRIUM_ZONES_FILE"] == str(tmp_path / "zones.csv")
    assert environment["PATH"] == os.environ["PATH"]
