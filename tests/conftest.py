"""Fixtures for every test: real servers on loopback. No server starts before a test asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import structlog
from hypothesis import settings

from pricing.embedded import ApacheKafka, Postgres, Valkey, free_ports
from streaming.config import KafkaConfig
from tests.support import servers
from tests.support.servers import KafkaServer, LentKafka
from tests.support.tcp_proxy import TcpProxy

# These machines are shared, so that a time limit for an example would tell about the neighbours.
settings.register_profile("equilibrium", deadline=None)
settings.load_profile("equilibrium")
# The default paints tracebacks with all local variables, which takes longer than some deadlines.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


SLOW_FIRST = ("fault", "e2e", "integration", "contract", "property")
"""The folders with the longest tests: begun last, one of these would run alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return SLOW_FIRST.index(folder) if folder in SLOW_FIRST else len(SLOW_FIRST)


def pytest_report_header() -> str:
    return f"kafka: {servers.kafka_in_words()}"


def _demand_apache_kafka() -> None:
    if servers.has_apache_kafka():
        return
    if servers.in_ci():
        pytest.fail("CI has to test against Apache Kafka: install Java and Maven", pytrace=False)
    pytest.skip("needs Apache Kafka: install Java 17 or newer and Maven")


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """The session's servers keep their data here."""
    with servers.server_directory() as path:
        yield path


@pytest.fixture
def own_directory() -> Iterator[Path]:
    """An empty directory for servers that one test starts; reachable for their user."""
    with servers.server_directory() as path:
        yield path


@pytest.fixture(scope="session")
async def postgres_template(server_directory: Path) -> Path:
    """A data directory with an initialised Postgres, to be copied."""
    return await servers.make_postgres_template(server_directory / "template")


@pytest.fixture
def prepared_directory(own_directory: Path, postgres_template: Path) -> Path:
    """`own_directory` as a data directory whose Postgres was initialised before.

    For tests to which a first start is nothing but a wait.
    """
    servers.lay_postgres_data(postgres_template, own_directory)
    return own_directory


@pytest.fixture(scope="session")
async def postgres(server_directory: Path, postgres_template: Path) -> AsyncIterator[Postgres]:
    """The session's server; a test that breaks it uses `own_postgres` instead."""
    servers.lay_postgres_data(postgres_template, server_directory)
    async with servers.running_postgres(server_directory) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_url(postgres: Postgres) -> str:
    """URL of the session server's own database; tests write to `database_url` instead."""
    return postgres.url


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """An empty database for one test."""
    async with servers.fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
async def module_database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database that the tests of one module share; empty at first."""
    async with servers.fresh_database(postgres_url) as url:
        yield url


@pytest.fixture
async def own_postgres(prepared_directory: Path) -> AsyncIterator[Postgres]:
    """A server that the test may stop, kill and freeze."""
    async with servers.running_postgres(prepared_directory) as server:
        yield server


@pytest.fixture(scope="session")
async def valkey_server(server_directory: Path) -> AsyncIterator[Valkey]:
    """The session's server; a test that breaks it uses `own_valkey` instead."""
    async with servers.running_valkey(server_directory) as server:
        yield server


@pytest.fixture
async def redis_url(valkey_server: Valkey) -> str:
    """A Redis-protocol server without keys and scripts."""
    await servers.empty_redis(valkey_server.url)
    return valkey_server.url


@pytest.fixture
async def own_valkey(own_directory: Path) -> AsyncIterator[Valkey]:
    """A server that the test may stop, kill and freeze."""
    async with servers.running_valkey(own_directory) as server:
        yield server


@pytest.fixture(scope="session")
def kafka_proxy_port() -> int:
    """The port that the session broker's PROXIED listener advertises."""
    return free_ports(1)[0]


@pytest.fixture(scope="session")
async def kafka(server_directory: Path, kafka_proxy_port: int) -> AsyncIterator[KafkaServer]:
    """The session's broker: Apache Kafka, or Tansu where Java or Maven is missing.

    A test that breaks it uses `kafka_to_hurt` instead.
    """
    if servers.in_ci():
        _demand_apache_kafka()
    async with servers.running_kafka(server_directory, advertised_port=kafka_proxy_port) as server:
        yield server


@pytest.fixture
def topic_prefix() -> str:
    """Keeps the topics of one test apart from all others on the shared broker."""
    return f"test-{uuid4().hex[:12]}."


@pytest.fixture
def kafka_config(kafka: KafkaServer, topic_prefix: str) -> KafkaConfig:
    """How to reach the session's broker, with topics of one's own."""
    return servers.kafka_config_for(kafka, topic_prefix)


@pytest.fixture(scope="session")
async def lent_kafka(server_directory: Path) -> AsyncIterator[LentKafka]:
    """Lends one broker after the other; a test takes `kafka_to_hurt`."""
    lent = LentKafka(server_directory, advertised_port=free_ports(1)[0])
    try:
        yield lent
    finally:
        await lent.end()


@pytest.fixture
async def kafka_to_hurt(lent_kafka: LentKafka) -> AsyncIterator[ApacheKafka]:
    """An Apache Kafka that the test may stop, kill and freeze; others were there before it.

    Topics and groups need names of the test's own: `topic_prefix`.
    """
    _demand_apache_kafka()
    async with lent_kafka.lent() as server:
        yield server


@pytest.fixture
async def own_kafka(own_directory: Path) -> AsyncIterator[ApacheKafka]:
    """An Apache Kafka that nobody used before; `kafka_to_hurt` is up sooner."""
    _demand_apache_kafka()
    async with servers.running_kafka(own_directory) as server:
        assert isinstance(server, ApacheKafka)
        yield server


@pytest.fixture
async def kafka_proxy(kafka: KafkaServer, kafka_proxy_port: int) -> AsyncIterator[TcpProxy]:
    """A fault proxy in front of the session's Apache Kafka; the test checks through `kafka`."""
    _demand_apache_kafka()
    assert isinstance(kafka, ApacheKafka)
    async with TcpProxy(kafka.proxied_port, port=kafka_proxy_port) as proxy:
        yield proxy


@pytest.fixture
def proxied_kafka_config(
    kafka: KafkaServer, kafka_proxy: TcpProxy, topic_prefix: str
) -> KafkaConfig:
    """Like `kafka_config`, but every byte goes through `kafka_proxy`."""
    return servers.kafka_config_for(kafka, topic_prefix, bootstrap_servers=kafka_proxy.address)


@pytest.fixture
async def redis_proxy(valkey_server: Valkey) -> AsyncIterator[TcpProxy]:
    """A fault proxy in front of the session's Valkey; reach it by `through(url, proxy)`."""
    async with TcpProxy(valkey_server.port) as proxy:
        yield proxy


@pytest.fixture
async def postgres_proxy(postgres: Postgres) -> AsyncIterator[TcpProxy]:
    """A fault proxy in front of the session's Postgres; reach it by `through(url, proxy)`."""
    async with TcpProxy(postgres.port) as proxy:
        yield proxy
