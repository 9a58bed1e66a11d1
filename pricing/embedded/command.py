"""`equilibrium stack`: the three servers for a person or for one command."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import cast

import typer

from pricing.embedded.process import POLL_S
from pricing.embedded.server import Server
from pricing.embedded.stack import Broker, EmbeddedStack, StackConfig
from pricing.embedded.tansu import Tansu

_LOOK_EVERY_S = 1.0
_COMMAND_GRACE_S = 6.0
"""Between passing SIGTERM on and SIGKILL: the servers' end has to fit into 10 s as well."""
_NOT_FOUND = 127
"""What shells and env(1) return for a command that is not there."""


def run_stack(command: list[str], *, data_dir: Path | None, kafka: str) -> int:
    """Run the embedded servers until SIGTERM or Ctrl-C, or for as long as `command` runs.

    Without a command, prints the settings on stdout, one `NAME=value` a line, and returns 0.
    With one, runs it with these settings in its environment, passes signals on and returns its
    exit code: 128 + n where signal n ended it, 127 where it does not exist.

    Raises `StartupError` in one line, and `ValueError` for a broker that is not known.
    """
    config = StackConfig(data_dir=data_dir, kafka=cast("Broker", kafka))  # checked in there
    if command and shutil.which(command[0]) is None:
        _tell(f"{command[0]}: no such command")
        return _NOT_FOUND
    return asyncio.run(_until_told(command, config))


class _Signals:
    """Passes signals to the command while it runs; otherwise the first one ends the stack."""

    def __init__(self, work: asyncio.Task[int] | None) -> None:
        self._work = work
        self._command: subprocess.Popen[bytes] | None = None
        self._ending = False
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._receive, number)

    def _receive(self, number: signal.Signals) -> None:
        if self._command is not None:
            # A terminal gives Ctrl-C to the command itself: passed on, it would count twice.
            if number != signal.SIGINT or not _in_foreground():
                self._command.send_signal(number)
            self._ending = number != signal.SIGINT
        elif self._work is not None and not self._ending:
            self._ending = True
            self._work.cancel()

    async def follow(self, command: subprocess.Popen[bytes]) -> int:
        """Exit code of the command, in the way shells give it."""
        self._command = command
        kill_at = None
        now = asyncio.get_running_loop().time
        try:
            while command.poll() is None:
                if self._ending and kill_at is None:
                    kill_at = now() + _COMMAND_GRACE_S
                if kill_at is not None and now() >= kill_at:
                    command.kill()
                await asyncio.sleep(POLL_S)
        finally:
            self._command = None
            if command.poll() is None:
                command.kill()
                command.wait()
        return command.returncode if command.returncode >= 0 else 128 - command.returncode


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):  # no terminal, or no stdin at all
        return False


async def _until_told(command: list[str], config: StackConfig) -> int:
    signals = _Signals(asyncio.current_task())
    try:
        return await _work(command, config, signals)
    except asyncio.CancelledError:
        return 0


async def _work(command: list[str], config: StackConfig, signals: _Signals) -> int:
    async with EmbeddedStack(config, on_progress=_tell) as stack:
        # Everything here is on loopback and for this user: the service needs no keys, unless told.
        settings = {"EQUILIBRIUM_AUTH": os.environ.get("EQUILIBRIUM_AUTH") or "open"}
        settings |= stack.environment()
        if isinstance(stack.kafka, Tansu):
            _tell("events are kept in memory only: they are gone when this ends")
        if command:
            return await signals.follow(_run(command, settings))
        for name, value in settings.items():
            typer.echo(f"{name}={value}")
        sys.stdout.flush()
        await _tell_of_deaths(stack.servers)
    return 0


def _run(command: list[str], settings: dict[str, str]) -> subprocess.Popen[bytes]:
    # In our process group, so that it may use the terminal.
    return subprocess.Popen(command, env={**os.environ, **settings})  # noqa: S603 - the user's own


async def _tell_of_deaths(servers: tuple[Server, ...]) -> None:
    """Say once for each server that it ended by itself; never returns."""
    told: set[str] = set()
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        for server in servers:
            if server.pid is None and server.title not in told:
                told.add(server.title)
                _tell(f"{server.title} has ended by itself; its log: {server.log}")


def _tell(text: str) -> None:
    typer.echo(text, err=True)
