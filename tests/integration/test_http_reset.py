"""What a server keeps of clients that break off."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pricing.api.server import ServerConfig, serve
from tests.support.api import World

REQUEST = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def _kept(port: int) -> list[HttpToolsProtocol]:
    """The server's ends of connections that are still in memory, open or not."""
    gc.collect()
    found = [one for one in gc.get_objects() if isinstance(one, HttpToolsProtocol)]
    return [one for one in found if one.server is not None and one.server[1] == port]


def _ask(port: int) -> socket.socket:
    """A client whose end of the connection is a reset, after its answer has come."""
    client = socket.create_connection(("127.0.0.1", port), timeout=5)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    client.sendall(REQUEST)
    assert b"200 OK" in client.recv(1_000)
    return client


async def test_nothing_is_kept_of_a_connection_that_its_client_has_reset():
    world = World()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    config = ServerConfig(drain_delay_s=0, grace_s=1)
    serving = asyncio.create_task(
        serve(
            world.app,
            "127.0.0.1",
            0,
            drain=world.parts.drain,
            config=config,
            on_started=port.set_result,
        )
    )
    async with asyncio.timeout(60):
        bound = await port
        client = await asyncio.to_thread(_ask, bound)
        while not any(one.timeout_keep_alive_task for one in _kept(bound)):
            await asyncio.sleep(0.01)  # it may still be at the end of its answer
        client.close()
        while _kept(bound):
            await asyncio.sleep(0.05)
        world.parts.drain.begin()
        await serving
