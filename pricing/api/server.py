"""Runs the app until it is told to stop, and lets every request that came in end.

SIGTERM, SIGINT or `Drain.begin` start the drain: readiness turns 503 at once, and for a
moment requests are still taken, for a load balancer needs that long to look elsewhere. Then
the socket closes, what is under way ends, and `serve` returns: exit code 0 is the caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pricing.drain import Drain
from pricing.errors import StartupError

_log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """How the server ends. Raises `ValueError` naming the bad value.

    The sum of both times stays well below 10 s, for what the app calls is closed after it.
    """

    drain_delay_s: float = 1.0
    """How long requests are still taken once draining has begun."""
    grace_s: int = 5
    """How long requests under way may then take; after it they are cut off."""
    keep_alive_s: int = 75
    """How long an idle connection stays open: longer than load balancers keep theirs (60 s)."""
    handles_signals: bool = True
    """False where somebody else watches the signals and calls `Drain.begin`."""

    def __post_init__(self) -> None:
        for name, least in (("drain_delay_s", 0), ("grace_s", 1), ("keep_alive_s", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)!r} must be at least {least}")


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, but that nothing is kept of a connection which the client has reset.

    uvicorn does not cancel the keep-alive timer then, and the timer holds all of the connection.
    """

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()


class DrainingServer(uvicorn.Server):
    """A uvicorn server that ends when a drain has begun, and never by a signal of its own."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        drain: Drain,
        ending: ServerConfig,
        on_started: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(config)
        self._drain = drain
        self._ending = ending
        self._on_started = on_started

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        watcher = asyncio.create_task(self._stop_when_drained())
        try:
            await super().serve(sockets)
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self._on_started is not None:
            self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Turn signals into a drain. uvicorn would raise them again at the end: exit code -15."""
        if not self._ending.handles_signals or not _is_main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        if self._drain.is_draining:
            _log.warning("second signal received; requests are cut off", signal=number.name)
            self.should_exit = self.force_exit = True
        else:
            _log.info("draining", signal=number.name)
            self._drain.begin()

    async def _stop_when_drained(self) -> None:
        await self._drain.wait()
        await asyncio.sleep(self._ending.drain_delay_s)
        self.should_exit = True


async def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    drain: Drain,
    config: ServerConfig | None = None,
    on_started: Callable[[int], None] | None = None,
) -> None:
    """Serve `app` until `drain` begins or a signal comes; return once the last request ended.

    `drain` is the one in the app's dependencies. `on_started` gets the port, which tells it where
    `port` is 0. Raises `StartupError` when the address cannot be had.
    """
    ending = config or ServerConfig()
    listener = _listen(host, port)
    bound_port: int = listener.getsockname()[1]

    def started() -> None:
        _log.info("listening", host=host, port=bound_port)
        if on_started is not None:
            on_started(bound_port)

    server = DrainingServer(
        uvicorn.Config(
            app,
            lifespan="off",  # wiring opens and closes what the app calls
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            http=_Protocol,
            timeout_keep_alive=ending.keep_alive_s,
            timeout_graceful_shutdown=ending.grace_s,
        ),
        drain=drain,
        ending=ending,
        on_started=started,
    )
    with contextlib.closing(listener):
        await server.serve([listener])


def _listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address; of a name with several, to an IPv4 one if there is."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = min(found, key=_ipv4_first)
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _not_listening(host, port, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _not_listening(host, port, error) from error
    return listener


def _ipv4_first(found: tuple[Any, ...]) -> bool:
    return found[0] is not socket.AF_INET


def _not_listening(host: str, port: int, error: OSError) -> StartupError:
    reason = (error.strerror or str(error)).lower()
    return StartupError(
        f"cannot listen on {host}:{port}: {reason}; choose another address with "
        "EQUILIBRIUM_HTTP_HOST and EQUILIBRIUM_HTTP_PORT"
    )


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
