"""Prices over a real socket: what is written in one piece is what the server would have said."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from pricing.access.auth import NotAuthenticated
from pricing.api import middleware
from pricing.api.app import ApiConfig
from pricing.api.prices.fast_path import PATH
from pricing.api.server import ServerConfig, serve
from tests.support.api import World
from tests.support.zone_states import zone_state

PRICE = b"/api/v1/zones/z1/price"


@pytest.fixture
async def world():
    world = World(ApiConfig(log_price_reads=False), memo_ms=60_000)
    world.cache.put(zone_state("z1"), zone_state("z2"))
    return world


@pytest.fixture
async def port(world):
    listening = asyncio.get_running_loop().create_future()
    config = ServerConfig(drain_delay_s=0, grace_s=1, handles_signals=False)
    server = asyncio.create_task(
        serve(
            world.app,
            "127.0.0.1",
            0,
            drain=world.dependencies.drain,
            config=config,
            on_started=listening.set_result,
        )
    )
    yield await listening
    world.dependencies.drain.begin()
    await server


@contextlib.asynccontextmanager
async def connection(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


def request(path=PRICE, method=b"GET", *headers):
    lines = [b"%b %b HTTP/1.1" % (method, path), b"host: x", b"x-request-id: r-1", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


async def answer(reader, *, has_body=True):
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status, *lines = head.rstrip().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    length = int(headers.get("content-length", 0)) if has_body else 0
    return status, headers, await reader.readexactly(length)


async def ask(port, sent, *, has_body=True):
    async with connection(port) as (reader, writer):
        writer.write(sent)
        return await answer(reader, has_body=has_body)


async def test_answer_is_the_same_in_one_piece_and_in_many(port, monkeypatch):
    await ask(port, request())
    whole = await ask(port, request())
    monkeypatch.setattr(middleware, "raw_writable", lambda _: None)
    in_many = await ask(port, request())
    for _, headers, _ in (whole, in_many):
        assert headers.pop("date")
    assert whole == in_many
    assert whole[0] == "HTTP/1.1 200 OK"
    assert whole[1]["cache-status"].startswith("memo; hit")


async def test_both_writers_count_the_same(port, world, monkeypatch):
    for taken, writable in enumerate((middleware.raw_writable, lambda _: None), start=1):
        monkeypatch.setattr(middleware, "raw_writable", writable)
        await ask(port, request())
        assert world.metric("answer_source_total", source="redis") == taken
        assert world.metric("answer_age_seconds_sum") == pytest.approx(taken * 2.14)
        count = "http_request_duration_seconds_count"
        assert world.metric(count, route=PATH, method="GET", status="200") == taken


async def test_who_may_not_gets_nothing_out_of_the_memo(port, world):
    def identify(_):
        raise NotAuthenticated("Send an API key.", has_key=False)

    await ask(port, request())
    world.dependencies.gate.identify = identify
    status, headers, body = await ask(port, request())
    assert status == "HTTP/1.1 401 Unauthorized"
    assert headers["www-authenticate"].startswith("Bearer")
    assert b"price" not in body.replace(b"/price", b"")


async def test_requests_sent_at_once_are_answered_in_order(port):
    await ask(port, request())
    async with connection(port) as (reader, writer):
        writer.write(request() + request(PRICE.replace(b"z1", b"z2")) + request(b"/health/live"))
        bodies = [(await answer(reader))[2] for _ in range(3)]
        assert [b'"zone_id":"z1"' in bodies[0], b'"zone_id":"z2"' in bodies[1]] == [True, True]
        assert bodies[2] == b'{"status":"live"}'
        writer.write(request())
        assert b'"zone_id":"z1"' in (await answer(reader))[2]


async def test_client_that_wants_the_connection_closed_gets_it_closed(port):
    async with connection(port) as (reader, writer):
        writer.write(request(PRICE, b"GET", b"connection: close"))
        status, headers, body = await answer(reader)
        assert (status, headers["connection"]) == ("HTTP/1.1 200 OK", "close")
        assert body
        assert await reader.read() == b""


async def test_head_has_the_headers_and_no_body(port):
    await ask(port, request())
    _, headers, _ = await ask(port, request(PRICE, b"HEAD"), has_body=False)
    assert int(headers["content-length"]) > 0
    async with connection(port) as (reader, writer):
        writer.write(request(PRICE, b"HEAD") + request(b"/health/live"))
        await answer(reader, has_body=False)
        assert (await answer(reader))[2] == b'{"status":"live"}'


async def test_unchanged_state_is_304_without_a_body(port):
    _, headers, _ = await ask(port, request())
    sent = request(PRICE, b"GET", b"if-none-match: " + headers["etag"].encode())
    async with connection(port) as (reader, writer):
        writer.write(sent + request(b"/health/live"))
        status, headers, _ = await answer(reader)
        assert (status, headers["x-request-id"]) == ("HTTP/1.1 304 Not Modified", "r-1")
        assert (await answer(reader))[2] == b'{"status":"live"}'
