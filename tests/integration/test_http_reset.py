"""What a server keeps of clients that break off."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref

import pytest

from pricing.api import server
from pricing.api.server import ServerConfig, serve
from tests.support.api import World

REQUEST = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
TURNS = 5
"""Of the loop after which nothing is left over from a connection that was lost."""


class ServerEnd:
    """What becomes of the server's end of a connection, held so that it may go."""

    def __init__(self) -> None:
        self.protocol: weakref.ref[server._Protocol] | None = None
        self.answered = asyncio.Event()
        self.lost = asyncio.Event()


@pytest.fixture
def server_end(monkeypatch) -> ServerEnd:
    """The end of the one connection that the test makes."""
    end = ServerEnd()

    class Watched(server._Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            end.protocol = weakref.ref(self)

        def on_response_complete(self):
            super().on_response_complete()
            end.answered.set()

        def connection_lost(self, exc):
            super().connection_lost(exc)
            end.lost.set()

    monkeypatch.setattr(server, "_Protocol", Watched)
    return end


def _ask(port: int) -> socket.socket:
    """A client whose end of the connection is a reset, after its answer has come."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    client.sendall(REQUEST)
    assert b"200 OK" in client.recv(1_000)
    return client


async def test_nothing_is_kept_of_a_connection_that_its_client_has_reset(server_end):
    world = World()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(
        serve(
            world.app,
            "127.0.0.1",
            0,
            drain=world.dependencies.drain,
            config=ServerConfig(drain_delay_s=0, grace_s=1),
            on_started=port.set_result,
        )
    )
    async with asyncio.timeout(60):
        client = await asyncio.to_thread(_ask, await port)
        await server_end.answered.wait()
        # What uvicorn would keep for its 75 s.
        assert server_end.protocol().timeout_keep_alive_task is not None
        client.close()
        await server_end.lost.wait()
        for _ in range(TURNS):
            await asyncio.sleep(0)
        gc.collect()  # the error of the reset holds frames in a circle
        assert server_end.protocol() is None
        world.dependencies.drain.begin()
        await serving
