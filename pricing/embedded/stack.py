"""The three servers together, on one data directory that one stack at a time may hold."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args

from pricing.embedded.apache_kafka import ApacheKafka
from pricing.embedded.directories import (
    DirectoryLock,
    default_data_dir,
    disk_reason,
    make_directory,
)
from pricing.embedded.postgres import Postgres
from pricing.embedded.server import Server
from pricing.embedded.tansu import Tansu
from pricing.embedded.valkey import Valkey
from pricing.errors import StartupError

Broker = Literal["tansu", "apache"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StackConfig:
    """Raises `ValueError` that shows the bad value."""

    data_dir: Path | None = None
    """None: the user's state directory (`directories.default_data_dir`)."""
    kafka: Broker = "tansu"
    """`tansu` keeps events in memory only; `apache` needs Java and Maven."""
    ready_within_s: float = 60.0
    """How long each server may take until it answers."""

    def __post_init__(self) -> None:
        """Check every range."""
        if self.kafka not in get_args(Broker):
            raise ValueError(f"kafka={self.kafka!r} is none of {', '.join(get_args(Broker))}")
        if self.ready_within_s <= 0:
            raise ValueError(f"ready_within_s={self.ready_within_s!r} must be above 0")


class EmbeddedStack:
    """PostgreSQL, Valkey and a Kafka broker, up inside `async with`, gone after it.

    Start it from the main thread. Each server can be stopped, killed, frozen and started again
    on its own; addresses stay. Postgres' and Valkey's data survives, and Apache Kafka's.
    """

    def __init__(
        self, config: StackConfig, *, on_progress: Callable[[str], None] = lambda _: None
    ) -> None:
        self.data_dir = (config.data_dir or default_data_dir()).absolute()
        self._on_progress = on_progress
        self._lock = DirectoryLock(self.data_dir)
        within = config.ready_within_s
        self.postgres = Postgres(self.data_dir / "postgres", ready_within_s=within)
        self.valkey = Valkey(self.data_dir / "valkey", ready_within_s=within)
        self.kafka: Tansu | ApacheKafka = (
            Tansu(self.data_dir / "tansu", ready_within_s=within)
            if config.kafka == "tansu"
            else ApacheKafka(
                self.data_dir / "kafka", ready_within_s=within, on_progress=on_progress
            )
        )

    @property
    def servers(self) -> tuple[Server, Server, Server]:
        return (self.postgres, self.valkey, self.kafka)

    def environment(self) -> dict[str, str]:
        """Settings of the service that make it use this stack; holds passwords."""
        return {
            "EQUILIBRIUM_DATABASE_URL": self.postgres.url,
            "EQUILIBRIUM_REDIS_URL": self.valkey.url,
            "EQUILIBRIUM_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "EQUILIBRIUM_KAFKA_REPLICATION": "1",
            **self.kafka.settings(),
        }

    async def __aenter__(self) -> Self:
        """Raises `StartupError` in one line; then nothing is left running."""
        make_directory(self.data_dir)
        self._lock.take()
        try:
            async with asyncio.TaskGroup() as starts:
                for server in self.servers:
                    starts.create_task(self._start(server))
        except BaseException as error:  # a cancelled start must leave nothing running either
            await self._stop()
            if isinstance(error, ExceptionGroup):
                raise self._first_cause(error) from error
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _start(self, server: Server) -> None:
        began = asyncio.get_running_loop().time()
        await server.start()
        took_s = asyncio.get_running_loop().time() - began
        self._on_progress(f"{server.title} answers on port {server.port} after {took_s:.1f} s")

    async def _stop(self) -> None:
        try:
            # Each to its end, whatever becomes of the others: one that fails to stop must not
            # leave the next one running.
            results = await asyncio.gather(
                *(server.stop() for server in self.servers), return_exceptions=True
            )
        finally:
            # After the servers: the next stack must not find their locks held.
            self._lock.release()
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _first_cause(self, group: ExceptionGroup[Exception]) -> Exception:
        """The error worth telling: one that a person can act on, where there is one."""
        for error in group.exceptions:
            if isinstance(error, StartupError):
                return error
        for error in group.exceptions:
            if isinstance(error, OSError):
                where = error.filename or self.data_dir
                return StartupError(f"{where}: {disk_reason(error)}")
        return group.exceptions[0]
