"""How this service reaches Postgres: configuration, connections, deadlines, the driver's errors.

No statement stands here; `pricing.stores.postgres_states` and `pricing.stores.migrate` hold them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)

_log = structlog.get_logger(__name__)

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
"""A lent connection; `Database` takes it back."""

_NAME = "database"
_CLOSE_S = 1.0
_KEPT_OPEN = 4
_SERVER_SHARE = 0.8
"""The server gives up after this much of a read's deadline, so that it stops before we leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """How to reach Postgres. Raises `ValueError` naming the field and the bad value.

    Behind PgBouncer, list `statement_timeout` in its `ignore_startup_parameters` or
    `track_extra_parameters`, and migrate over a direct connection.
    """

    url: str = field(repr=False)
    """`postgresql://` or `postgres://`."""
    replica_url: str | None = field(default=None, repr=False)
    """A read replica, asked where the primary fails; None: there is none."""
    timeout_ms: int = 500
    """Deadline of a read: connect, query and rows, and the replica's turn."""
    write_timeout_ms: int = 5_000
    """Deadline of a transaction."""
    statement_timeout_ms: int | None = None
    """When the server itself gives a read up. None: four fifths of the deadline."""
    max_in_flight: int = 20
    """Calls at once per server; one more is refused, not queued."""
    snapshot_retention_days: int = 30
    """Snapshots of days that ended longer ago are dropped, a day at a time."""

    def __post_init__(self) -> None:
        """Check every range, and the URLs without ever showing them: they may hold passwords."""
        counts = ("timeout_ms", "write_timeout_ms", "max_in_flight", "snapshot_retention_days")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least 1")
        if not 1 <= self.server_timeout_ms <= self.timeout_ms:
            shown = self.statement_timeout_ms
            raise ValueError(f"statement_timeout_ms={shown!r} is not in 1 … timeout_ms")
        for name in ("url", "replica_url"):
            url = getattr(self, name)
            if url is not None and not url.startswith(("postgresql://", "postgres://")):
                raise ValueError(f"{name} must begin with postgresql://")

    @property
    def kept_open(self) -> int:
        """Connections that a ping keeps open: what the first readers want at once when Redis is
        lost. To open one costs them 7 ms, and four at the same time 40 ms on two cores.
        """
        return max(1, min(_KEPT_OPEN, self.max_in_flight // 2))

    @property
    def server_timeout_ms(self) -> int:
        """The `statement_timeout` of a read."""
        if self.statement_timeout_ms is None:
            return max(1, int(self.timeout_ms * _SERVER_SHARE))
        return self.statement_timeout_ms


class Database:
    """Lends connections to one server: never more than the cap, each until a deadline.

    An async context manager that owns its connections. Entering does no I/O. The cap is counted
    before the pool, and the pool holds as many connections, so nobody queues. A connection whose
    call did not end cleanly (deadline, cancellation, lost server) is thrown away: an answer may
    still be on its way on it, and taking it back in order would mean waiting for the server.
    The server gives such a statement up by its own `statement_timeout`.
    """

    def __init__(self, url: str, config: DatabaseConfig) -> None:
        self._url = url
        self._config = config
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._in_flight = 0

    async def __aenter__(self) -> Self:
        longest_ms = max(self._config.timeout_ms, self._config.write_timeout_ms)
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._config.max_in_flight,
            # Above every deadline: a net for what no deadline should have let through.
            command_timeout=longest_ms / 1000 + 1,
            timeout=longest_ms / 1000,
            # The stock reset is one more round trip a call; we leave no state on a connection.
            reset=_keep,
            server_settings={
                "application_name": "equilibrium",
                "statement_timeout": str(self._config.server_timeout_ms),
                "timezone": "UTC",
            },
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(_CLOSE_S):
                await pool.close()
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            _log.warning("database connections closed uncleanly")
            pool.terminate()

    @property
    def in_flight(self) -> int:
        """Calls under way."""
        return self._in_flight

    @asynccontextmanager
    async def connection(self, timeout_ms: int) -> AsyncIterator[Connection]:
        """Lend a connection for single statements. Raises a leaf of `DependencyError`."""
        if self._pool is None:
            raise DependencyUnavailable(_NAME, "the client is not open")
        if self._in_flight >= self._config.max_in_flight:
            raise DependencySaturated(_NAME, "every slot is in use")
        self._in_flight += 1
        try:
            with border():
                async with asyncio.timeout(timeout_ms / 1000), _lent(self._pool) as connection:
                    yield connection
        finally:
            self._in_flight -= 1

    @asynccontextmanager
    async def transaction(self, timeout_ms: int) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction, committed at the end of the block.

        The server gives a statement up at the same deadline. Any error ends it: the connection
        is thrown away and the server rolls back. After `DependencyTimeout` it may have committed.
        """
        async with self.connection(timeout_ms) as connection:
            try:
                await connection.execute(f"BEGIN; SET LOCAL statement_timeout = {timeout_ms:d}")
                yield connection
                await connection.execute("COMMIT")
            except BaseException:
                _throw_away(connection)
                raise


@asynccontextmanager
async def _lent(pool: asyncpg.Pool[asyncpg.Record]) -> AsyncIterator[Connection]:
    connection = await pool.acquire()
    try:
        yield connection
    except asyncpg.PostgresError:
        # The server answered, so the connection is in order.
        raise
    except BaseException:
        _throw_away(connection)
        raise
    finally:
        await pool.release(connection)


def _throw_away(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it is closed already
        connection.terminate()


async def _keep(connection: object) -> None:
    """Leave a returned connection as it is."""


@contextmanager
def border() -> Iterator[None]:
    """Turn the driver's errors into ours; anything else passes."""
    try:
        yield
    except _DRIVER_ERRORS as error:
        raise translate(error) from error


_DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError among them
)


def translate(error: Exception) -> DependencyError:
    """Our error for one of the driver's. The server's own tell by their SQLSTATE."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return next(
            leaf(_NAME, reason) for prefix, leaf, reason in _BY_STATE if state.startswith(prefix)
        )
    return next(leaf(_NAME, reason) for kind, leaf, reason in _BY_CLASS if isinstance(error, kind))


_BY_STATE: tuple[tuple[str, type[DependencyError], str], ...] = (
    ("57014", DependencyTimeout, "the server gave the statement up at its deadline"),
    ("55P03", DependencyTimeout, "another transaction holds the lock"),
    ("57", DependencyUnavailable, "the server is starting or stopping"),
    ("08", DependencyUnavailable, "connection refused, reset or closed"),
    ("58", DependencyUnavailable, "the server cannot use its files"),
    ("53", DependencyRefused, "the server is out of memory, disk or connections"),
    ("28", DependencyRefused, "credentials refused"),
    ("3D", DependencyRefused, "the database does not exist"),
    ("25006", DependencyRefused, "the server is read-only"),
    ("40", DependencyRefused, "conflict with another transaction"),
    ("23", DependencyRefused, "a constraint refused the row"),
    ("42501", DependencyRefused, "this user may not run the statement"),
    ("42", DependencyRefused, "the schema is not this release's; run `equilibrium migrate`"),
    ("", DependencyRefused, "the server refused the statement"),
)
"""The first prefix of an error's SQLSTATE decides; the last one takes every state."""

_BY_CLASS: tuple[tuple[type[Exception], type[DependencyError], str], ...] = (
    (TimeoutError, DependencyTimeout, "no answer within the deadline"),
    (OSError, DependencyUnavailable, "connection refused, reset or closed"),
    (asyncpg.ClientConfigurationError, DependencyRefused, "the URL is not usable"),
    (asyncpg.DataError, DependencyRefused, "a value does not fit its column"),
    (asyncpg.UnsupportedClientFeatureError, DependencyRefused, "the driver lacks a feature"),
    (asyncpg.UnsupportedServerFeatureError, DependencyRefused, "the server lacks a feature"),
    (asyncpg.InterfaceError, DependencyUnavailable, "connection refused, reset or closed"),
    (asyncpg.OutdatedSchemaCacheError, DependencyRefused, "the schema changed under the call"),
    (asyncpg.TargetServerAttributeNotMatched, DependencyUnavailable, "no server fits the URL"),
    (asyncpg.InternalClientError, DependencyUnavailable, "unreadable answer"),
)
"""For errors without an SQLSTATE; the first class that fits decides."""
