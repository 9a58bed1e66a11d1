"""How the demo ends when it cannot begin; stand-ins take the place of the service's processes."""

from __future__ import annotations

import asyncio
import io
import sys
from pathlib import Path

import pytest

from pricing.demo.run import Demo
from pricing.demo.screen import PlainScreen
from pricing.embedded import free_ports
from pricing.embedded.process import is_alive
from pricing.errors import StartupError
from pricing.local.children import Command
from pricing.local.options import DemoOptions
from pricing.local.whole_service import Commands
from tests.support.waiting import until

SLEEP = "import time; time.sleep(60)"


def _fails(word: str) -> str:
    return f"import sys; sys.exit('equilibrium: {word}')"


def _demo(directory: Path, out: io.StringIO, *, migrate: str = "", api: str = SLEEP) -> Demo:
    (port,) = free_ports(1)
    commands = Commands(
        migrate=Command(name="migrate", argv=(sys.executable, "-c", migrate)),
        api=Command(name="api", argv=(sys.executable, "-c", api)),
        processor=Command(name="processor", argv=(sys.executable, "-c", SLEEP)),
    )
    options = DemoOptions(port=port, data_dir=directory)
    return Demo(options, PlainScreen(out), commands=commands)


def _servers(directory: Path) -> list[int]:
    """Processes that work in a directory."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and str(directory).encode() in _command_line(entry)
        and is_alive(int(entry.name))
    ]


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except OSError:
        return b""


async def test_demo_whose_migration_fails_says_why_and_leaves_nothing(prepared_directory: Path):
    demo = _demo(prepared_directory, io.StringIO(), migrate=_fails("the schema is from the future"))
    with pytest.raises(StartupError, match=r"^migrate failed: the schema is from the future \(log"):
        await demo.run(asyncio.Event())
    assert _servers(prepared_directory) == []


async def test_demo_whose_api_fails_says_why_and_leaves_nothing(prepared_directory: Path):
    demo = _demo(prepared_directory, io.StringIO(), api=_fails("no zones"))
    with pytest.raises(StartupError, match=r"^the api cannot run: no zones \(log: "):
        await demo.run(asyncio.Event())
    assert _servers(prepared_directory) == []


async def test_demo_told_to_stop_while_it_starts_ends_well(
    prepared_directory: Path,
):
    out, stop = io.StringIO(), asyncio.Event()
    run = asyncio.create_task(_demo(prepared_directory, out).run(stop))
    await until(lambda: "the topics are ready" in out.getvalue(), "the servers", within_s=60)
    assert _servers(prepared_directory)
    stop.set()
    await asyncio.wait_for(run, 10)
    assert out.getvalue().endswith("ended before it was ready\n")
    assert _servers(prepared_directory) == []
