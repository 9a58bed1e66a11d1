"""Real servers for tests: started once a session, with fresh contents for each test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
from redis.asyncio import Redis

from pricing.embedded import ApacheKafka, Postgres, Tansu, Valkey
from pricing.embedded.directories import (
    make_directory,
    make_server_directory,
    write_private,
)
from pricing.embedded.kafka_home import missing_tools
from streaming.config import KafkaConfig
from tests.support.tcp_proxy import TcpProxy

KafkaServer = ApacheKafka | Tansu

# Tests kill processes, not machines, so nothing has to reach the disk.
POSTGRES_FOR_TESTS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() == "true"


def has_apache_kafka() -> bool:
    return not missing_tools()


def kafka_in_words() -> str:
    """Which broker this session's tests talk to, and why."""
    if has_apache_kafka():
        return "Apache Kafka 4.3.1"
    return f"embedded Tansu, since {' and '.join(missing_tools())} not found"


@contextmanager
def server_directory() -> Iterator[Path]:
    """A directory that servers of any user can reach, unlike pytest's; removed afterwards."""
    path = Path(tempfile.mkdtemp(prefix="equilibrium-test-"))
    try:
        path.chmod(0o711)
        yield path
    finally:
        shutil.rmtree(path)


async def make_postgres_template(directory: Path) -> Path:
    """A data directory with an initialised Postgres that has ended; see `lay_postgres_data`."""
    make_directory(directory)
    async with running_postgres(directory):
        return directory


def lay_postgres_data(template: Path, data_dir: Path) -> None:
    """Put the template's Postgres, and its password, into a data directory.

    A first start there finds its data, which spares it the two seconds that initdb computes.
    """
    make_directory(data_dir)
    home = make_server_directory(data_dir / "postgres")
    copy = ["cp", "-a", str(template / "postgres/data"), str(home)]  # keeps whose the files are
    subprocess.run(copy, check=True)
    passwords = data_dir / "passwords.json"
    known = json.loads(passwords.read_text()) if passwords.exists() else {}
    known |= json.loads((template / "passwords.json").read_text())
    write_private(passwords, json.dumps(known), for_server=False)


@asynccontextmanager
async def running_postgres(directory: Path) -> AsyncIterator[Postgres]:
    async with Postgres(directory / "postgres", parameters=POSTGRES_FOR_TESTS) as server:
        yield server


@asynccontextmanager
async def running_valkey(directory: Path) -> AsyncIterator[Valkey]:
    async with Valkey(directory / "valkey") as server:
        yield server


@asynccontextmanager
async def running_kafka(
    directory: Path, *, advertised_port: int | None = None
) -> AsyncIterator[KafkaServer]:
    """Apache Kafka where Java and Maven are there, else Tansu."""
    server: KafkaServer = (
        ApacheKafka(directory / "kafka", advertised_port=advertised_port)
        if has_apache_kafka()
        else Tansu(directory / "tansu")
    )
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


class LentKafka:
    """An Apache Kafka that tests hurt one after the other, each with topics of its own.

    A start of the JVM costs three seconds of a processor, so whoever leaves it running leaves it
    to the next one. After some loans another one takes its place: a start after a kill looks at
    every partition that there ever was.
    """

    LOANS = 6

    def __init__(self, directory: Path, *, advertised_port: int) -> None:
        self._directory = directory
        self.advertised_port = advertised_port
        self._broker: ApacheKafka | None = None
        self._number = 0
        self._loans = 0

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[ApacheKafka]:
        """It runs and nothing is frozen; the borrower may stop, kill and freeze it."""
        if self._loans == self.LOANS:
            await self.end()
        broker = self._broker or self._another()
        self._loans += 1
        try:
            await broker.start()
            yield broker
        finally:
            broker.thaw()

    def spoil(self) -> None:
        """Whoever damages its files says so: nobody else gets it."""
        self._loans = self.LOANS

    async def end(self) -> None:
        """Kill it and remove its files."""
        if self._broker is not None:
            await self._broker.kill()
            shutil.rmtree(self._broker.directory)
        self._broker = None

    def _another(self) -> ApacheKafka:
        self._number, self._loans = self._number + 1, 0
        directory = self._directory / f"lent-kafka-{self._number}"
        self._broker = ApacheKafka(directory, advertised_port=self.advertised_port)
        return self._broker


@asynccontextmanager
async def fresh_database(server_url: str) -> AsyncIterator[str]:
    """URL of a new, empty database on a running server; dropped afterwards."""
    name = f"test_{uuid4().hex}"
    await _execute(server_url, f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
    try:
        yield f"{server_url.rpartition('/')[0]}/{name}"
    finally:
        await _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(statement, timeout=30)
    finally:
        await connection.close()


async def empty_redis(url: str) -> None:
    """Remove every key and every cached script."""
    client = Redis.from_url(url)
    try:
        await client.flushall()
        await client.script_flush()
    finally:
        await client.aclose()


def kafka_config_for(server: KafkaServer, topic_prefix: str, **other: object) -> KafkaConfig:
    """A configuration for tests' clients; `other` are further `KafkaConfig` fields."""
    fields: dict[str, object] = {
        "bootstrap_servers": server.bootstrap_servers,
        "topic_prefix": topic_prefix,
        "idempotence": server.idempotence,
    }
    return KafkaConfig(**{**fields, **other})  # type: ignore[arg-type]  # checked when made


def through(url: str, proxy: TcpProxy) -> str:
    """The same URL with the proxy's port."""
    parts = urlsplit(url)
    account = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{account}@{proxy.address}"))
