"""What producer, reader and topic administration share: settings, waits, and a bounded end."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from traceback import walk_tb
from typing import Any

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError

from streaming.config import KafkaConfig
from streaming.errors import BrokerError
from streaming.translation import DRIVER_ERRORS, translated

_log = structlog.get_logger(__name__)

METADATA_MAX_AGE_MS = 10_000
"""Also how soon an idle client finds a broker that came back: nothing else makes it look."""
_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 3.0
"""Also how long a broker may be back before a client that was made anew notices."""
_CANCEL_S = 1.0


def client_settings(config: KafkaConfig) -> dict[str, Any]:
    """The arguments that every aiokafka client takes.

    Raises `OSError` where the CA file cannot be read.
    """
    settings: dict[str, Any] = {
        "bootstrap_servers": config.bootstrap_servers,
        "client_id": config.client_id,
        "request_timeout_ms": config.request_timeout_ms,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "security_protocol": config.security_protocol,
    }
    if config.security_protocol.endswith("SSL"):
        settings["ssl_context"] = ssl.create_default_context(cafile=config.ca_file)
    if config.security_protocol.startswith("SASL"):
        settings["sasl_mechanism"] = config.sasl_mechanism or "PLAIN"
        settings["sasl_plain_username"] = config.sasl_username
        settings["sasl_plain_password"] = config.sasl_password
    return settings


def growing_waits() -> Iterator[float]:
    """Seconds to wait before each next attempt: doubling from 0.1 to 3, jittered by half."""
    longest = _FIRST_WAIT_S
    while True:
        yield longest * (0.5 + random.random() / 2)  # noqa: S311 - spreads clients, no secret
        longest = min(2 * longest, _LONGEST_WAIT_S)


async def why_start_failed(config: KafkaConfig, error: BaseException) -> BrokerError:
    """The cause of a failed start.

    aiokafka says "unable to bootstrap" for a dead broker and for a wrong password alike; only a
    connection of our own tells them apart.
    """
    if not isinstance(error, KafkaConnectionError):
        return translated(error)
    settings = client_settings(config)
    del settings["bootstrap_servers"], settings["metadata_max_age_ms"]
    host, port, _ = collect_hosts(config.bootstrap_servers)[0]
    try:
        async with asyncio.timeout(config.request_timeout_ms / 1000):
            connection = await create_conn(host, port, **settings)
    except Exception as cause:  # noqa: BLE001 - this only explains a failure, it must not add one
        return translated(cause)
    connection.close()
    return translated(error)


async def bootstrapped(start: Coroutine[Any, Any, None]) -> None:
    """Run the start of a client. Raises what that raises, and leaves no connection then."""
    try:
        await start
    except BaseException as error:
        # The driver (0.14) keeps the connection of its first question in a local variable, and
        # forgets it when the start is cancelled.
        for frame, _ in walk_tb(error.__traceback__):
            connection = frame.f_locals.get("bootstrap_conn")
            if connection is not None:
                connection.close()
        raise


async def finish_within(work: Coroutine[Any, Any, object], timeout_s: float) -> bool:
    """Run `work` for at most so long, then cancel it; whether it came to its own, good end.

    Never raises what `work` raises: aiokafka's `stop()` may hang, and may raise
    `CancelledError` half-way although nobody cancelled it.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_S)
    finally:
        task.cancel()
    if not task.done() or task.cancelled():
        return False
    if (error := task.exception()) is not None:
        _log.debug("closing failed", error=repr(error))
    return error is None


async def cut_off(client: AIOKafkaClient, *tasks: asyncio.Task[Any] | None) -> None:
    """End a client whose `stop()` hung: its background tasks, then its sockets."""
    running = {task for task in tasks if task is not None and not task.done()}
    for task in running:
        task.cancel()
    await finish_within(client.close(), _CANCEL_S)
    _release_metadata_waiters(client)
    if running:
        # The sender answers the first cancel by waiting for its requests; the closed sockets
        # have failed those by now.
        await asyncio.wait(running, timeout=_CANCEL_S)
    for task in running:
        task.cancel()
        with suppress(asyncio.CancelledError, *DRIVER_ERRORS):
            if task.done():
                task.result()


def _release_metadata_waiters(client: AIOKafkaClient) -> None:
    """Answer those who wait for a metadata update that a closed client never makes."""
    waiter = client._md_update_fut  # noqa: SLF001 - aiokafka leaves it pending on close
    if waiter is not None and not waiter.done():
        waiter.set_result(False)
