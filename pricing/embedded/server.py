"""What the four servers share: start until it answers, stop, kill, freeze, on a steady port."""

from __future__ import annotations

import asyncio
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NoReturn, Self

from pricing.embedded.directories import make_server_directory, remedy, unprivileged_user
from pricing.embedded.ports import LOOPBACK, free_ports, is_free
from pricing.embedded.process import Program, ServerProcess, spawn
from pricing.errors import StartupError

_PORT_TRIES = 3
_ASK_EVERY_S = 0.02
_PORT_TAKEN = "address already in use"


class Server(ABC):
    """One server on loopback that can be started again and again on the same data and ports.

    The first start chooses the ports; later ones keep them, so that addresses handed out stay
    good through a fault. `stop`, `kill` and leaving the `async with` block end the process; the
    data stays in `directory`, which must be searchable by the servers' user.
    """

    title: ClassVar[str]
    """What people call it, in messages."""
    port_count: ClassVar[int] = 1
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    death_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(
        self, directory: Path, *, ready_within_s: float = 30.0, grace_s: float = 2.0
    ) -> None:
        """`grace_s` is how long `stop` waits before SIGKILL."""
        self.directory = directory
        self.user = unprivileged_user()
        self._ready_within_s = ready_within_s
        self._grace_s = grace_s
        self._process: ServerProcess | None = None
        self._ports: list[int] = []

    @property
    def pid(self) -> int | None:
        """Process id while it runs, else None."""
        return self._process.pid if self._process and self._process.is_alive else None

    @property
    def port(self) -> int:
        """The port for clients. Raises `RuntimeError` before the first start."""
        if not self._ports:
            raise RuntimeError(f"{self.title} has no port before its first start")
        return self._ports[0]

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def log(self) -> Path:
        return self.directory / "server.log"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start it and return once it answers; nothing happens when it already runs.

        Raises `StartupError` in one line: what is missing, in the way, or its own last words.
        """
        if self.pid is not None:
            return
        make_server_directory(self.directory)
        await self._prepare()
        for remaining in reversed(range(_PORT_TRIES)):
            # Once it has answered on a port it keeps that one: clients hold the address.
            ports = self._ports or free_ports(self.port_count)
            last_words = await self._start_on(ports)
            if last_words is None:
                return
            taken = _PORT_TAKEN in last_words.lower()
            if not taken or self._ports or not remaining:
                self._refuse(last_words, ports)

    async def _start_on(self, ports: list[int]) -> str | None:
        """None once it answers on `ports`; the last words of a server that ended instead."""
        process = await spawn(self._program(ports))
        deadline = asyncio.get_running_loop().time() + self._ready_within_s
        try:
            # Alive after the answer: another program on the port may have given it.
            while not (await self._answers(ports) and process.is_alive):
                if not process.is_alive:
                    return process.last_words()
                if asyncio.get_running_loop().time() >= deadline:
                    return f"no answer within {self._ready_within_s:g} s"
                await asyncio.sleep(_ASK_EVERY_S)
            self._process, self._ports = process, ports
        finally:
            # Also when cancelled: nobody else knows of this process.
            if self._process is not process:
                await process.kill()
        return None

    def _refuse(self, last_words: str, ports: list[int]) -> NoReturn:
        if _PORT_TAKEN in last_words.lower() and not all(map(is_free, ports)):
            raise StartupError(
                f"{self.title} cannot start: another program took its port "
                f"{' or '.join(map(str, ports))}: end that program and start again"
            )
        said = last_words or "it ended at once"
        raise StartupError(f"{self.title} cannot start: {said}{remedy(said)} (log: {self.log})")

    async def stop(self) -> None:
        """End it cleanly, in bounded time; nothing happens when it does not run."""
        if self._process:
            await self._process.stop()
            self._process = None

    async def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self._process:
            await self._process.kill()
            self._process = None

    def freeze(self) -> None:
        """Stop its main process with SIGSTOP: connections stay open and nobody answers.

        Postgres still answers on connections that are open: each has a process of its own.
        """
        if self._process:
            self._process.send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        if self._process:
            self._process.send(signal.SIGCONT)

    def _describe(self, *argv: str | Path, environment: Mapping[str, str] | None = None) -> Program:
        return Program(
            name=self.title,
            argv=tuple(map(str, argv)),
            directory=self.directory,
            user=self.user,
            stop_signal=self.stop_signal,
            death_signal=self.death_signal,
            grace_s=self._grace_s,
            environment=environment or {},
        )

    @abstractmethod
    async def _prepare(self) -> None:
        """Make what a start needs; called before every start."""

    @abstractmethod
    def _program(self, ports: list[int]) -> Program:
        """What to run on these ports."""

    @abstractmethod
    async def _answers(self, ports: list[int]) -> bool:
        """Whether it does its work now. Raises `StartupError` where waiting is in vain."""


async def is_listening(port: int) -> bool:
    """Whether something accepts connections on the loopback port within 1 s."""
    try:
        async with asyncio.timeout(1):
            _, writer = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
