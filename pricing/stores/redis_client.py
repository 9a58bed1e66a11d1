"""How this service reaches Redis: configuration, connections, deadline, and the driver's errors.

The driver's defaults turn a deadline of 100 ms into 4 to 20 s (ten retries, 5 s timeouts), so
every one of them is set here, whatever the URL's query says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from redis import exceptions as driver
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)

_log = structlog.get_logger(__name__)

_T = TypeVar("_T")

_NET_MS = 50
"""The driver's own timeouts lie this much above the deadline: a net, never the rule.

The deadline is a cancellation, and in Python 3.11 `asyncio.wait_for`, which the driver sends with,
can lose one that arrives in the turn in which it ends.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisConfig:
    """How to reach Redis or Valkey. Raises `ValueError` naming the field and the bad value."""

    url: str = field(repr=False)
    """`redis://`, `rediss://` (TLS) or `unix://`; `valkey://` and `valkeys://` mean the same."""
    timeout_ms: int = 100
    """Deadline of a read: pool, connect, handshake, commands and replies together."""
    write_timeout_ms: int = 1_000
    """Deadline of a write of any number of zones."""
    max_connections: int = 32
    """Reads at once; one more is refused, not queued."""
    ttl_s: int = 3_600
    """How long a zone stays in Redis that nobody writes any more."""

    def __post_init__(self) -> None:
        """Check every range, and the URL without ever showing it: it may hold a password."""
        for name in ("timeout_ms", "write_timeout_ms", "max_connections", "ttl_s"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name}={value!r} must be at least 1")
        connection_options(self.url)


def connection_options(url: str) -> dict[str, Any]:
    """What a URL says, as the driver's options. Raises `ValueError` for one that is not Redis'."""
    for theirs, ours in (("valkey://", "redis://"), ("valkeys://", "rediss://")):
        if url.startswith(theirs):
            url = ours + url.removeprefix(theirs)
    try:
        return dict(parse_url(url))
    except (ValueError, TypeError):
        # The driver's text could quote a piece of the password.
        raise ValueError("url is none of redis://, rediss://, valkey://, unix://") from None


class _Pool(ConnectionPool):
    """The driver's, but that it closes every connection that it made.

    One whose call was cancelled at the wrong moment may stand in none of the driver's lists.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._made: list[Any] = []

    def make_connection(self) -> Any:
        connection = super().make_connection()  # type: ignore[no-untyped-call] # of the driver
        self._made.append(connection)  # as many as the pool may have: it takes them up again
        return connection

    async def aclose(self) -> None:
        try:
            await super().aclose()
        finally:
            for connection in self._made:
                await connection.disconnect(nowait=True)


def open_pool(config: RedisConfig, timeout_ms: int, max_connections: int) -> ConnectionPool:
    """A pool that connects on first use, never retries and never queues. The caller closes it."""
    net_s = (timeout_ms + _NET_MS) / 1000
    ours = {
        "max_connections": max_connections,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": net_s,
        "socket_connect_timeout": net_s,
        "health_check_interval": 0,
        "decode_responses": False,
        # RESP3 would switch maintenance notifications on, and with them the driver's check
        # that a pooled connection has no reply of somebody else's left in it off.
        "protocol": 2,
        # No `CLIENT SETINFO`: one round trip less a connection, inside the deadline.
        "driver_info": None,
    }
    return _Pool(**{**connection_options(config.url), **ours})


def word(text: str) -> bytes:
    """One word of a command, as it goes over the wire."""
    encoded = text.encode()
    return b"$%d\r\n%b\r\n" % (len(encoded), encoded)


async def ask(pool: ConnectionPool, words: Sequence[bytes]) -> object:
    """Send a command of packed words and return its reply. Raises the driver's errors.

    On the driver's connections, but without what it does around a command (retries, telemetry,
    packing word by word), which costs as much as the rest.
    """
    connection = await pool.get_connection()  # type: ignore[no-untyped-call] # of the driver
    try:
        await connection.send_packed_command(b"*%d\r\n%b" % (len(words), b"".join(words)))
        return await connection.read_response()
    finally:
        await pool.release(connection)


async def bounded(call: Awaitable[_T], timeout_ms: int) -> _T:
    """Await a call under a deadline. Raises a leaf of `DependencyError`, and nothing else."""
    try:
        async with asyncio.timeout(timeout_ms / 1000):
            return await call
    except Exception as error:
        # The driver also raises what its parsers stumble over and what asyncio's transports raise.
        raise translate(error) from error


def translate(error: Exception) -> DependencyError:
    """Our error for one of the driver's. An unknown one is logged: it belongs in the table."""
    if isinstance(error, DependencyError):
        return error
    for ancestor in type(error).__mro__:
        if ancestor in _LEAVES:
            leaf, reason = _LEAVES[ancestor]
            return leaf("redis", reason)
    _log.error("redis driver failed in an unknown way", exc_info=error)
    return DependencyUnavailable("redis", "unreadable reply")


_CREDENTIALS = (DependencyRefused, "credentials refused")
_CLUSTER = (DependencyRefused, "a cluster answered; one server or a primary is needed")
_DOWN = (DependencyUnavailable, "the server has no working primary")
_MISUSE = (DependencyRefused, "the driver was misused")

_LEAVES: dict[type[BaseException], tuple[type[DependencyError], str]] = {
    TimeoutError: (DependencyTimeout, "no answer within the deadline"),
    driver.TimeoutError: (DependencyTimeout, "no answer within the deadline"),
    driver.MaxConnectionsError: (DependencySaturated, "every connection is in use"),
    driver.ConnectionError: (DependencyUnavailable, "connection refused, reset or closed"),
    OSError: (DependencyUnavailable, "connection refused, reset or closed"),
    # A transport that was closed under the driver's hands raises this.
    RuntimeError: (DependencyUnavailable, "connection refused, reset or closed"),
    driver.BusyLoadingError: (DependencyUnavailable, "the server is loading its data"),
    driver.InvalidResponse: (DependencyUnavailable, "unreadable reply"),
    # The driver's reply parsers on an answer of the wrong shape: a peer that is no Redis.
    TypeError: (DependencyUnavailable, "unreadable reply"),
    ValueError: (DependencyUnavailable, "unreadable reply"),
    LookupError: (DependencyUnavailable, "unreadable reply"),
    AttributeError: (DependencyUnavailable, "unreadable reply"),
    driver.RedisError: (DependencyUnavailable, "the driver failed"),
    driver.AuthenticationError: _CREDENTIALS,
    driver.AuthenticationWrongNumberOfArgsError: _CREDENTIALS,
    driver.AuthorizationError: _CREDENTIALS,
    driver.ExternalAuthProviderError: _CREDENTIALS,
    driver.NoPermissionError: (DependencyRefused, "this user may not run the command"),
    driver.OutOfMemoryError: (DependencyRefused, "the server is out of memory"),
    driver.ReadOnlyError: (DependencyRefused, "the server is a read-only replica"),
    driver.NoScriptError: (DependencyRefused, "the server does not keep scripts"),
    driver.ResponseError: (DependencyRefused, "the server refused the command"),
    driver.ExecAbortError: (DependencyRefused, "the server refused the command"),
    driver.ModuleError: (DependencyRefused, "the server refused the command"),
    driver.NoSuchFieldsetError: (DependencyRefused, "the server refused the command"),
    driver.ClusterDownError: _DOWN,
    driver.MasterDownError: _DOWN,
    driver.TryAgainError: _DOWN,
    driver.ClusterError: _DOWN,
    driver.AskError: _CLUSTER,
    driver.MovedError: _CLUSTER,
    driver.ClusterCrossSlotError: _CLUSTER,
    driver.RedisClusterException: _CLUSTER,
    driver.SlotNotCoveredError: _CLUSTER,
    driver.CrossSlotTransactionError: _CLUSTER,
    driver.InvalidPipelineStack: _CLUSTER,
    driver.DataError: _MISUSE,
    driver.PubSubError: _MISUSE,
    driver.WatchError: _MISUSE,
    driver.LockError: _MISUSE,
    driver.LockNotOwnedError: _MISUSE,
    driver.ChildDeadlockedError: _MISUSE,
    driver.IncorrectPolicyType: _MISUSE,
}
"""The nearest ancestor decides. A test enumerates the driver's errors: each stands here itself."""
