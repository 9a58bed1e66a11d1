"""Server processes end when they are told to, and whenever we end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pricing.embedded.process import Program, is_alive, spawn
from pricing.errors import StartupError
from tests.support.waiting import until, until_blocking

ROOT = Path(__file__).parents[2]
STARTER = """
import asyncio, sys
from pathlib import Path
from pricing.embedded.process import Program, spawn

async def main():
    script = "echo ready; exec sleep 600"
    argv = ("/bin/sh", "-c", script)
    program = Program(name="sleeper", argv=argv, directory=Path(sys.argv[1]))
    process = await spawn(program, watch_by_pipe=sys.argv[2] == "pipe")
    while "ready" not in program.log.read_text():
        await asyncio.sleep(0.01)
    print(process.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
STACK_STARTER = """
import asyncio, sys
from pathlib import Path
from pricing.embedded import EmbeddedStack, StackConfig

async def main():
    async with EmbeddedStack(StackConfig(data_dir=Path(sys.argv[1]))) as stack:
        if sys.argv[2] == "frozen":
            for server in stack.servers:
                server.freeze()
        print(*(server.pid for server in stack.servers), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@contextmanager
def starter(script: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that starts servers and prints their process ids."""
    words = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            pids = [int(word) for word in process.stdout.readline().split()]
            yield process, pids
        finally:
            process.kill()
        until_blocking(lambda: not any(map(is_alive, pids)), "the servers are gone")


def shell(directory: Path, script: str, **other: object) -> Program:
    return Program(name="shell", argv=("/bin/sh", "-c", script), directory=directory, **other)


@pytest.mark.parametrize("way", ["kernel", "pipe"])
def test_server_dies_when_its_starter_is_killed(tmp_path, way):
    if way == "kernel" and sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent has died")
    with starter(STARTER, tmp_path, way) as (parent, pids):
        assert all(map(is_alive, pids))
        parent.kill()
        until_blocking(lambda: not any(map(is_alive, pids)), "the server is gone")


@pytest.mark.parametrize("state", ["running", "frozen"])
def test_stack_leaves_no_orphan_when_its_parent_is_killed(prepared_directory, state):
    with starter(STACK_STARTER, prepared_directory, state) as (parent, pids):
        assert len(pids) == 3
        family = [*pids, *(child for pid in pids for child in children(pid))]
        parent.kill()
        until_blocking(lambda: not any(map(is_alive, family)), "the servers are gone")


def group_exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def children(pid: int) -> list[int]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listing.read_text().split()] if listing.exists() else []


def test_stack_starts_again_right_after_its_parent_was_killed(prepared_directory):
    with starter(STACK_STARTER, prepared_directory, "running") as (parent, _):
        parent.kill()
        parent.wait()
        with starter(STACK_STARTER, prepared_directory, "running") as (_, pids):
            assert all(map(is_alive, pids))


async def test_watcher_leaves_when_the_server_is_stopped(tmp_path):
    process = await spawn(shell(tmp_path, "exec sleep 600"), watch_by_pipe=True)
    group = process.pid
    await process.stop()
    await until(lambda: not group_exists(group), "the watcher is gone")


async def test_stop_kills_a_server_that_ignores_it(tmp_path):
    script = "trap '' TERM; echo ready; while :; do sleep 600; done"
    program = shell(tmp_path, script, grace_s=0.1)
    process = await spawn(program)
    await until(lambda: "ready" in program.log.read_text(), "the trap is set")
    family = children(process.pid)
    process_ended = asyncio.create_task(process.stop())
    assert await process.wait(within_s=3)
    assert process.exit_code == -signal.SIGKILL
    for child in family:
        os.kill(child, signal.SIGKILL)
    await process_ended


async def test_stop_wakes_a_frozen_server(tmp_path):
    process = await spawn(shell(tmp_path, "exec sleep 600"))
    process.send(signal.SIGSTOP)
    await process.stop()
    assert process.exit_code == -signal.SIGTERM


async def test_directory_takes_one_server_at_a_time(tmp_path):
    first = await spawn(shell(tmp_path, "exec sleep 600"))
    second = asyncio.create_task(spawn(shell(tmp_path, "exec sleep 600")))
    done, _ = await asyncio.wait([second], timeout=0.1)
    assert not done
    first.send(signal.SIGKILL)
    await (await second).stop()
    assert not first.is_alive


async def test_server_that_cannot_run_says_why(tmp_path):
    process = await spawn(Program(name="x", argv=("/nonexistent/x",), directory=tmp_path))
    assert await process.wait(within_s=5)
    await process.kill()
    assert process.last_words() == "cannot run /nonexistent/x: No such file or directory"


async def test_directory_that_is_missing_is_refused_in_one_line(tmp_path):
    with pytest.raises(StartupError, match="No such file or directory") as caught:
        await spawn(shell(tmp_path / "missing", "true"))
    assert "\n" not in str(caught.value)


async def test_spawn_outside_the_main_thread_is_refused(tmp_path):
    def elsewhere() -> None:
        asyncio.run(spawn(shell(tmp_path, "true")))

    with pytest.raises(RuntimeError, match="main thread"):
        await asyncio.to_thread(elsewhere)
