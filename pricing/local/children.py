"""The service's own processes as our children: started, watched, started again, ended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pricing.embedded.process import Program, ServerProcess, spawn
from pricing.errors import StartupError, os_reason

_LOOK_EVERY_S: Final = 0.1
_SHORT_LIFE_S: Final = 5.0
_MOST_SHORT_LIVES: Final = 3
_PAUSE_S: Final = 1.0
_GRACE_S: Final = 3.0
_TAIL_BYTES: Final = 65_536
_SPEAKER: Final = "equilibrium: "
"""Our command line puts it before the one line that says why it ended."""
_FILE_SETTINGS: Final = (
    "EQUILIBRIUM_ZONES_FILE",
    "EQUILIBRIUM_POLICY_FILE",
    "EQUILIBRIUM_KAFKA_CA_FILE",
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A process to run as a child."""

    name: str
    argv: Sequence[str]
    """Absolute path of the program first."""


class Child:
    """One process that dies with us; its output goes to `log`.

    Made inside `directory`, which is created. Start it from the main thread.
    """

    def __init__(
        self,
        command: Command,
        directory: Path,
        environment: Mapping[str, str],
        *,
        monotonic: Callable[[], float],
    ) -> None:
        self.name = command.name
        self._program = Program(
            name=f"the {command.name}",
            argv=tuple(command.argv),
            directory=directory / command.name,
            grace_s=_GRACE_S,
            environment=environment,
        )
        self._monotonic = monotonic
        self._process: ServerProcess | None = None
        self._started_at = 0.0
        self._short_lives = 0

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._program.log

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process and self._process.is_alive else None

    async def start(self) -> None:
        """Start it; whether it gets to work is for others to see. Raises `StartupError`."""
        try:
            self._program.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(
                f"cannot use the directory {self._program.directory}: {os_reason(error)}"
            ) from error
        self._process = await spawn(self._program)
        self._started_at = self._monotonic()

    async def stop(self) -> None:
        """End it: SIGTERM, and SIGKILL 3 s later."""
        if self._process is not None:
            await self._process.stop()
            self._process = None

    def check(self) -> None:
        """Raise `StartupError` when it has ended."""
        if self.pid is None:
            raise StartupError(f"{self._program.name} cannot run: {self._reason()}")

    async def finish(self, within_s: float) -> None:
        """Run it to its end.

        Raises:
            StartupError: it failed, or has not ended within `within_s`; then it is killed.
        """
        await self.start()
        process = self._running()
        try:
            if not await process.wait(within_s):
                raise StartupError(
                    f"{self._program.name} has not ended within {within_s:g} s (log: {self.log})"
                )
            if process.exit_code != 0:
                raise StartupError(f"{self.name} failed: {self._reason()}")
        finally:
            await process.kill()
            self._process = None

    async def keep_running(self, say: Say) -> None:
        """Start it again whenever it ends, until cancelled.

        Raises:
            StartupError: it ended three times in a row within 5 s of its start.
        """
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            if self.pid is None:
                await self._replace(say)

    async def _replace(self, say: Say) -> None:
        process = self._running()
        lived_s = self._monotonic() - self._started_at
        # A process that was up for a while and fell is another matter than one that cannot run.
        self._short_lives = self._short_lives + 1 if lived_s < _SHORT_LIFE_S else 0
        # It is dead already: this reaps it, and waits for whatever it forked.
        await process.kill()
        if self._short_lives >= _MOST_SHORT_LIVES:
            raise StartupError(f"{self._program.name} cannot run: {self._reason()}")
        say(f"{self._program.name} ended ({_how(process.exit_code)}): starting it again")
        await asyncio.sleep(_PAUSE_S)
        await self.start()

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process

    def _reason(self) -> str:
        """Its own words, where it has any, and where to read more."""
        words = _last_words(self.log) or "it ended without a word"
        return f"{words} (log: {self.log})"


def child_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Our own environment with `settings` over it, fit for a child that runs in `/`."""
    environment = {**os.environ, **settings}
    # A child runs in /, so a path relative to where the user stands would lead elsewhere.
    for name in _FILE_SETTINGS:
        if environment.get(name):
            environment[name] = str(Path(environment[name]).absolute())
    return environment


def _how(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return f"by signal {-exit_code}"
    return f"with exit code {exit_code}"


def _last_words(log: Path) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    spoken = [line for line in lines if line.startswith(_SPEAKER)]
    said = spoken or [line for line in lines if line.strip()]
    return said[-1].strip().removeprefix(_SPEAKER)[:300] if said else ""
