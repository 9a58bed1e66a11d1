"""The fault proxy in front of a small echo server: every fault looks like the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pricing.embedded.ports import LOOPBACK
from tests.support.tcp_proxy import Reply, TcpProxy

WITHIN_S = 5.0
SILENT_FOR_S = 0.05
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Sends back what it gets, and remembers it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.got_some = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65_536):
                self.received += chunk
                self.got_some.set()
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[TcpProxy]:
    server = await asyncio.start_server(echo.serve, LOOPBACK, 0)
    async with server, TcpProxy(server.sockets[0].getsockname()[1]) as proxy:
        yield proxy


@pytest.fixture
async def client(proxy: TcpProxy) -> AsyncIterator[Streams]:
    async with connected(proxy) as streams:
        yield streams


@asynccontextmanager
async def connected(proxy: TcpProxy) -> AsyncIterator[Streams]:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    try:
        assert await ask((reader, writer), b"hello") == b"hello"
        yield reader, writer
    finally:
        writer.close()


async def ask(client: Streams, data: bytes) -> bytes:
    reader, writer = client
    writer.write(data)
    async with asyncio.timeout(WITHIN_S):
        return await reader.readexactly(len(data))


async def assert_silent(client: Streams) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENT_FOR_S):
            await client[0].read(1)


async def test_open_proxy_passes_large_data_both_ways(client):
    data = bytes(range(256)) * 4_096
    assert await ask(client, data) == data


async def test_client_that_ends_its_stream_still_gets_the_answer(client):
    reader, writer = client
    writer.write(b"last words")
    writer.write_eof()
    async with asyncio.timeout(WITHIN_S):
        assert await reader.read() == b"last words"


async def test_black_hole_delivers_held_bytes_on_heal(proxy, client, echo):
    proxy.hold()
    client[1].write(b"held")
    await assert_silent(client)
    assert echo.received == b"hello"
    await proxy.heal()
    async with asyncio.timeout(WITHIN_S):
        assert await client[0].readexactly(4) == b"held"


async def test_black_hole_delivers_after_the_client_has_given_up(proxy, client, echo):
    proxy.hold()
    client[1].write(b" zombie")
    await assert_silent(client)
    client[1].close()
    echo.got_some.clear()
    await proxy.heal()
    async with asyncio.timeout(WITHIN_S):
        await echo.got_some.wait()
    assert echo.received == b"hello zombie"


async def test_held_replies_leave_requests_flowing(proxy, client, echo):
    proxy.hold(up=False)
    echo.got_some.clear()
    client[1].write(b" there")
    async with asyncio.timeout(WITHIN_S):
        await echo.got_some.wait()
    await assert_silent(client)
    assert echo.received == b"hello there"


async def test_reset_reaches_the_client_as_a_reset(proxy, client):
    proxy.reset()
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(WITHIN_S):
            await client[0].read()
    async with connected(proxy):
        pass


async def test_refused_proxy_refuses_until_healed(proxy, client):
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(LOOPBACK, proxy.port)
    assert proxy.connections == 0
    await proxy.heal()
    async with connected(proxy):
        pass


async def test_dead_connections_stay_silent_while_new_ones_pass(proxy, client):
    proxy.deaden()
    client[1].write(b"anybody?")
    await proxy.heal()
    await assert_silent(client)
    async with connected(proxy):
        pass


async def test_latency_delays_each_direction(proxy, client):
    now = asyncio.get_running_loop().time
    proxy.latency_s = 0.05
    began = now()
    await ask(client, b"slow")
    assert now() - began >= 0.1


async def test_rate_limits_bytes_per_second(proxy, client):
    now = asyncio.get_running_loop().time
    proxy.rate_bytes_per_s = 50_000
    began = now()
    await ask(client, bytes(10_000))
    assert now() - began >= 0.15


@pytest.mark.parametrize(
    ("reply", "end"),
    [(Reply.HALF_THEN_CLOSE, b""), (Reply.HALF_THEN_RESET, ConnectionResetError)],
)
async def test_half_reply_ends_as_asked(proxy, client, reply, end):
    proxy.next_reply = reply
    client[1].write(b"12345678")
    async with asyncio.timeout(WITHIN_S):
        assert await client[0].readexactly(4) == b"1234"
        if end == b"":
            assert await client[0].read() == b""
        else:
            with pytest.raises(end):
                await client[0].read()


async def test_half_reply_then_silence_keeps_the_connection(proxy, client):
    proxy.next_reply = Reply.HALF_THEN_SILENCE
    client[1].write(b"12345678")
    async with asyncio.timeout(WITHIN_S):
        assert await client[0].readexactly(4) == b"1234"
    await assert_silent(client)


async def test_garbage_replaces_one_reply(proxy, client):
    proxy.next_reply = Reply.GARBAGE
    assert await ask(client, b"12345678") != b"12345678"
    assert await ask(client, b"12345678") == b"12345678"
