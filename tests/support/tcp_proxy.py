"""A TCP proxy on loopback that hurts its connections in chosen ways.

    client ──up──► proxy ──up──► server
    client ◄─down─ proxy ◄─down─ server

Every fault can be set and healed while connections are open. What the proxy holds back in a
black hole is delivered on heal, also when the client has given up by then: that is how a
server comes to work on requests nobody waits for. One thing it cannot do: a connect into its
black hole succeeds, since the kernel answers it; the silence begins after that.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from enum import Enum, auto
from typing import Self

from pricing.embedded.ports import LOOPBACK, free_ports

_CHUNK_BYTES = 65_536
_HELD_CHUNKS = 256
"""Per direction and connection; beyond it the sender's own buffers fill up."""
_RATE_SLICE_BYTES = 1_024
_CONNECT_WITHIN_S = 5.0
_FENCES = 5
"""Connections of our own, one after the other: a task that was just started has its turn."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: on, 0 s

_End = Enum("_End", "FIN RESET")


class Reply(Enum):
    """What becomes of the next bytes that a server sends, on one connection."""

    HALF_THEN_CLOSE = auto()
    HALF_THEN_RESET = auto()
    HALF_THEN_SILENCE = auto()
    GARBAGE = auto()


class TcpProxy:
    """Forwards a loopback port to another one; `async with` opens and closes it.

    `target_port` may change at any time and counts for new connections.
    """

    def __init__(self, target_port: int, *, port: int | None = None, seed: int = 0) -> None:
        self.target_port = target_port
        self.port = free_ports(1)[0] if port is None else port
        """Port for clients."""
        self.latency_s = 0.0
        """Added to each direction."""
        self.rate_bytes_per_s: float | None = None
        """Per connection and direction; None is as fast as it goes."""
        self.accepted = 0
        """Connections taken so far."""
        self.next_reply: Reply | None = None
        """Used up by the next bytes from the server, on any connection."""
        self.random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._clients: set[tuple[str, int]] = set()
        self._open = {"up": asyncio.Event(), "down": asyncio.Event()}

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def connections(self) -> int:
        """Open ones, dead ones included."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        await self.heal()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()

    async def heal(self) -> None:
        """Pass again: listen, let go what was held, no latency, no limit. The dead stay dead."""
        self.latency_s, self.rate_bytes_per_s, self.next_reply = 0.0, None, None
        for gate in self._open.values():
            gate.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)

    async def refuse(self) -> None:
        """Refuse new connections and reset the open ones, as when a server process dies."""
        if self._server is not None:
            self._server.close()
            self.reset()
            await asyncio.gather(*(link.gone.wait() for link in self._links))
            await self._server.wait_closed()
            self._server = None

    def hold(self, *, up: bool = True, down: bool = True) -> None:
        """Black hole: bytes of these directions stay in the proxy until `heal`."""
        for name, wanted in (("up", up), ("down", down)):
            if wanted:
                self._open[name].clear()

    def reset(self) -> None:
        """Reset every open connection with a real RST, on both sides."""
        for link in list(self._links):
            link.reset()

    def deaden(self) -> None:
        """Every open connection is silent for ever, without a sign; new ones pass."""
        for link in self._links:
            link.dead = True

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or not self._server.is_serving():
            _reset(writer)  # taken by the kernel just before the port closed
            return
        self.accepted += 1
        self._clients.add(writer.get_extra_info("peername"))
        link = _Link(self, writer)
        self._links.add(link)
        try:
            await link.run(reader)
        finally:
            self._links.discard(link)
            link.gone.set()

    async def accepted_of_others(self) -> int:
        """Connections taken so far, with those that were under way when this was called.

        The kernel hands connections over in order: one that was begun before ours, also by a task
        in the background, is taken before ours is.
        """
        own = set()
        for _ in range(_FENCES):
            _, writer = await asyncio.open_connection(LOOPBACK, self.port)
            own.add(writer.get_extra_info("sockname"))
            try:
                async with asyncio.timeout(_CONNECT_WITHIN_S):
                    while not own <= self._clients:
                        await asyncio.sleep(0)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        return len(self._clients - own)

    async def may_pass(self, direction: str) -> None:
        """Wait until bytes of this direction may go on."""
        await self._open[direction].wait()


class _Link:
    """One client connection and the server connection that belongs to it."""

    def __init__(self, proxy: TcpProxy, client: asyncio.StreamWriter) -> None:
        self.dead = False
        self.gone = asyncio.Event()
        self._proxy = proxy
        self._writers = [client]
        self._task = asyncio.current_task()

    async def run(self, reader: asyncio.StreamReader) -> None:
        end = _close
        try:
            await self._proxy.may_pass("up")
            server_reader, server = await self._connect()
            self._writers.append(server)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump("up", reader, server))
                pumps.create_task(self._pump("down", server_reader, self._writers[0]))
        except* _Finished:
            pass
        except* (OSError, asyncio.CancelledError):
            end = _reset
        finally:
            for writer in self._writers:
                end(writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(_CONNECT_WITHIN_S):
            return await asyncio.open_connection(LOOPBACK, self._proxy.target_port)

    def reset(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _pump(
        self, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Move bytes one way; reads ahead, so that nothing is lost when a sender gives up."""
        held: asyncio.Queue[tuple[float, bytes | _End]] = asyncio.Queue(_HELD_CHUNKS)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._take(reader, held))
            tasks.create_task(self._give(direction, held, writer))

    async def _take(
        self, reader: asyncio.StreamReader, held: asyncio.Queue[tuple[float, bytes | _End]]
    ) -> None:
        now = asyncio.get_running_loop().time
        end = _End.FIN
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                await held.put((now(), chunk))
        except ConnectionError:
            end = _End.RESET
        await held.put((now(), end))

    async def _give(
        self,
        direction: str,
        held: asyncio.Queue[tuple[float, bytes | _End]],
        writer: asyncio.StreamWriter,
    ) -> None:
        """Hand on what was taken, in order, each piece when its time has come."""
        while True:
            taken_at, piece = await held.get()
            await self._delay(taken_at)
            await self._proxy.may_pass(direction)
            if isinstance(piece, bytes):
                if not self.dead:
                    await self._write(direction, piece, writer)
            elif self.dead:
                return
            elif piece is _End.RESET:
                raise ConnectionResetError
            else:
                with contextlib.suppress(OSError):
                    writer.write_eof()
                return

    async def _delay(self, taken_at: float) -> None:
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(0.0, taken_at + self._proxy.latency_s - now))

    async def _write(self, direction: str, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        reply = self._proxy.next_reply if direction == "down" else None
        if reply is not None:
            self._proxy.next_reply = None
            chunk = self._spoil(reply, chunk)
        # A receiver that has gone shows on its own side too, where it ends the link: what is
        # still on its way in the other direction has to arrive before that.
        with contextlib.suppress(ConnectionError):
            await self._write_at_rate(chunk, writer)
        if reply is Reply.HALF_THEN_CLOSE:
            raise _Finished
        if reply is Reply.HALF_THEN_RESET:
            raise ConnectionResetError
        if reply is Reply.HALF_THEN_SILENCE:
            self.dead = True

    def _spoil(self, reply: Reply, chunk: bytes) -> bytes:
        if reply is Reply.GARBAGE:
            return self._proxy.random.randbytes(len(chunk))
        return chunk[: len(chunk) // 2]

    async def _write_at_rate(self, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        while chunk:
            rate = self._proxy.rate_bytes_per_s
            size = len(chunk) if rate is None else _RATE_SLICE_BYTES
            writer.write(chunk[:size])
            await writer.drain()
            if rate is not None:
                await asyncio.sleep(len(chunk[:size]) / rate)
            chunk = chunk[size:]


class _Finished(Exception):
    """Ends a link without a reset."""


def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with a real RST."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
