"""RedisStates when Redis is slow, silent, gone, full of itself, or somebody else."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from pricing.embedded import free_ports
from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.stores.redis_states import RedisConfig, RedisStates
from tests.support.tcp_proxy import Reply, TcpProxy
from tests.support.zone_states import TICK_MS, zone_state

DEADLINE_MS = 400
BOUND_S = 2.0
"""Far above the deadline, for a loaded machine; far below the driver's own 4 to 20 s."""


@asynccontextmanager
async def opened(url: str, **changes: int) -> AsyncIterator[RedisStates]:
    config = RedisConfig(url=url, **{"timeout_ms": DEADLINE_MS, **changes})
    async with RedisStates(config) as states:
        yield states


@pytest.fixture
async def proxy(valkey_server, redis_url) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(valkey_server.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_url(proxy, valkey_server) -> str:
    return valkey_server.url.replace(valkey_server.address, proxy.address)


@pytest.fixture
async def stub() -> AsyncIterator[list[bytes]]:
    """A server that answers every request with the first item; the second is its port."""
    answer = [b"", b""]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            writer.write(answer[0])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    answer[1] = str(server.sockets[0].getsockname()[1]).encode()
    yield answer
    server.close()
    await server.wait_closed()


async def test_entering_with_redis_dead_succeeds():
    async with opened(f"redis://127.0.0.1:{free_ports(1)[0]}"):
        pass


async def test_entering_connects_to_nobody(proxy, proxied_url):
    """Neither while it is entered nor in the background."""
    async with opened(proxied_url) as states:
        assert await proxy.accepted_of_others() == 0
        await states.read(["a"])
        assert await proxy.accepted_of_others() > 0


async def test_refused_connection_fails_at_once():
    async with opened(f"redis://127.0.0.1:{free_ports(1)[0]}") as states:
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await states.read(["a"])
        with pytest.raises(DependencyUnavailable):
            await states.write([zone_state("a")])
        assert time.monotonic() - started < BOUND_S


@pytest.mark.parametrize("warm", [True, False], ids=["connected", "connecting"])
async def test_black_hole_ends_at_deadline_after_one_connect(proxy, proxied_url, warm):
    async with opened(proxied_url) as states:
        if warm:
            await states.ping()
        proxy.hold()
        accepted, started = proxy.accepted, time.monotonic()
        with pytest.raises(DependencyTimeout):
            await states.read(["a"])
        assert time.monotonic() - started < BOUND_S
        assert proxy.accepted - accepted <= 1


async def test_write_has_a_deadline_of_its_own(proxy, proxied_url):
    async with opened(proxied_url, timeout_ms=20, write_timeout_ms=300) as states:
        proxy.hold()
        started = time.monotonic()
        with pytest.raises(DependencyTimeout):
            await states.write([zone_state("a")])
        assert 0.25 < time.monotonic() - started < 0.3 + BOUND_S


@pytest.mark.parametrize(
    ("reply", "leaf"),
    [
        (Reply.HALF_THEN_CLOSE, DependencyUnavailable),
        (Reply.HALF_THEN_RESET, DependencyUnavailable),
        (Reply.HALF_THEN_SILENCE, DependencyTimeout),
        (Reply.GARBAGE, DependencyUnavailable),
    ],
)
async def test_spoiled_reply_does_not_spoil_the_next(proxy, proxied_url, reply, leaf):
    async with opened(proxied_url, timeout_ms=1_000) as states:
        await states.write([zone_state("a")])
        await states.ping()
        proxy.next_reply = reply
        with pytest.raises(leaf):
            await states.read(["a"])
        assert await states.read(["a"]) == {"a": zone_state("a")}


async def test_one_read_too_many_is_not_queued(proxy, proxied_url):
    async with opened(proxied_url, max_connections=3) as states:
        proxy.hold()
        reads = [asyncio.ensure_future(states.read(["a"])) for _ in range(8)]
        errors = await asyncio.gather(*reads, return_exceptions=True)
        assert [type(error) for error in errors] == [DependencyTimeout] * 3 + [
            DependencySaturated
        ] * 5
        await proxy.heal()
        assert await states.read(["a"]) == {}


@pytest.mark.parametrize(
    ("answer", "leaf"),
    [
        (b"-LOADING Valkey is loading the dataset in memory\r\n", DependencyUnavailable),
        (b"-MASTERDOWN Link with MASTER is down\r\n", DependencyUnavailable),
        (b"-NOAUTH Authentication required.\r\n", DependencyRefused),
        (b"-NOPERM this user has no permissions\r\n", DependencyRefused),
        (b"-READONLY You can't write against a read only replica.\r\n", DependencyRefused),
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", DependencyRefused),
        (b"-ERR max number of clients reached\r\n", DependencyUnavailable),
        (b"-ERR script failed\r\n", DependencyRefused),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", DependencyUnavailable),
        (b":7\r\n", DependencyUnavailable),
        (b"-MOVED 1 nonsense\r\n", DependencyError),
    ],
    ids=lambda value: value.split()[0].decode() if isinstance(value, bytes) else value.__name__,
)
async def test_answer_of_the_server_becomes_a_leaf(stub, answer, leaf):
    stub[0] = answer
    async with opened(f"redis://127.0.0.1:{int(stub[1])}", timeout_ms=2_000) as states:
        with pytest.raises(leaf):
            await states.read(["a"])


async def test_wrong_password_is_refused_and_never_shown(valkey_server):
    url = f"redis://:hunter2@{valkey_server.address}"
    async with opened(url, timeout_ms=2_000) as states:
        with pytest.raises(DependencyRefused) as caught:
            await states.read(["a"])
    assert "hunter2" not in str(caught.value)


async def test_closed_client_is_unavailable(redis_url):
    async with opened(redis_url) as states:
        await states.ping()
    with pytest.raises(DependencyUnavailable):
        await states.read(["a"])


async def test_live_connections_never_retry(redis_url):
    async with opened(redis_url) as states:
        await states.read(["a"])
        await states.write([zone_state("a")])
        live = [*states._readers._available_connections, *states._writers._available_connections]
        assert len(live) == 2
        assert [connection.retry.get_retries() for connection in live] == [0, 0]
        assert all(connection.retry_on_error == [] for connection in live)


async def test_cancelled_reads_never_shift_replies(proxy, proxied_url):
    """The fault of redis-py's issue 2665: a reply left on a pooled connection."""
    dice = random.Random(3)
    states_by_zone = {f"z{number}": zone_state(f"z{number}") for number in range(20)}
    async with opened(proxied_url, timeout_ms=5_000, max_connections=8) as states:
        await states.write(list(states_by_zone.values()))
        proxy.latency_s = 0.002
        for zone_id in dice.choices(list(states_by_zone), k=200):
            read = asyncio.create_task(states.read([zone_id]))
            await asyncio.sleep(dice.uniform(0, 0.012))
            read.cancel()
            await asyncio.wait([read])
        proxy.latency_s = 0.0
        for zone_id, state in states_by_zone.items():
            assert await states.read([zone_id]) == {zone_id: state}
        assert not states._readers._in_use_connections


async def test_frozen_server_answers_again_after_it_thaws(own_valkey):
    async with opened(own_valkey.url) as states:
        await states.write([zone_state("a", TICK_MS)])
        own_valkey.freeze()
        with pytest.raises(DependencyTimeout):
            await states.read(["a"])
        own_valkey.thaw()
        async with asyncio.timeout(60):
            while True:
                try:
                    assert set(await states.read(["a"])) == {"a"}
                except DependencyTimeout:
                    continue
                break
