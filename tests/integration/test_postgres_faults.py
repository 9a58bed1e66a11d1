"""PostgresStates when Postgres is slow, silent, locked, full, gone, or somebody else."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import pytest

from pricing.embedded import free_ports
from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.stores.migrate import migrate
from pricing.stores.postgres_states import DatabaseConfig, PostgresStates
from tests.support.grid_city import grid_zones
from tests.support.tcp_proxy import Reply, TcpProxy
from tests.support.zone_states import STEP_MS, TICK_MS, city_tick, later, zone_state

DEADLINE_MS = 1_000
BOUND_S = 6.0
"""Far above the deadline, for a loaded machine; asyncpg alone would wait for ever."""
ZONES = [zone.zone_id for zone in grid_zones(5)]
A = ZONES[0]


@pytest.fixture(scope="module")
async def url(module_database_url) -> str:
    """A database with one tick in it."""
    config = DatabaseConfig(url=module_database_url)
    await migrate(config, grid_zones(5), timeout_s=20)
    async with PostgresStates(config) as states:
        await states.write_tick(city_tick(TICK_MS, map(zone_state, ZONES)))
    return module_database_url


@pytest.fixture
async def proxy(postgres) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def proxied_url(url, proxy, postgres) -> str:
    return url.replace(postgres.address, proxy.address)


@asynccontextmanager
async def opened(url: str, **changes: Any) -> AsyncIterator[PostgresStates]:
    config = DatabaseConfig(url=url, **{"timeout_ms": DEADLINE_MS, **changes})
    async with PostgresStates(config) as states:
        yield states


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Somebody holds the snapshots, so that every read and write of them waits."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute("BEGIN; LOCK TABLE zone_snapshots IN ACCESS EXCLUSIVE MODE")
        yield connection
    finally:
        await connection.close()


async def until_idle(url: str) -> None:
    """Return once no session of ours runs a statement on the server."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        async with asyncio.timeout(60):
            while await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'equilibrium' AND state <> 'idle'"
            ):
                await asyncio.sleep(0.02)
    finally:
        await connection.close()


async def until_connected(states: PostgresStates) -> None:
    """Return once a connection is open; on a loaded machine the first attempts may be too slow."""
    async with asyncio.timeout(30):
        while True:
            with suppress(DependencyTimeout):
                return await states.ping()


def dead_url() -> str:
    return f"postgresql://u:p@127.0.0.1:{free_ports(1)[0]}/d"


async def test_entering_with_postgres_dead_succeeds():
    async with opened(dead_url(), replica_url=dead_url()):
        pass


async def test_entering_connects_to_nobody(proxy, proxied_url):
    """Neither while it is entered nor in the background."""
    async with opened(proxied_url, replica_url=proxied_url) as states:
        assert await proxy.accepted_of_others() == 0
        await states.read([A])
        assert await proxy.accepted_of_others() > 0


async def test_refused_connection_fails_at_once():
    async with opened(dead_url()) as states:
        started = time.monotonic()
        with pytest.raises(DependencyUnavailable):
            await states.read([A])
        with pytest.raises(DependencyUnavailable):
            await states.write_tick(city_tick(TICK_MS, [zone_state(A)]))
        assert time.monotonic() - started < BOUND_S


@pytest.mark.parametrize("warm", [True, False], ids=["connected", "connecting"])
async def test_black_hole_ends_at_the_deadline(proxy, proxied_url, warm):
    async with opened(proxied_url) as states:
        if warm:
            await until_connected(states)
        proxy.hold()
        started = time.monotonic()
        with pytest.raises(DependencyTimeout):
            await states.read([A])
        assert time.monotonic() - started < BOUND_S
        assert states._primary.in_flight == 0
        await proxy.heal()
        assert set(await states.read([A])) == {A}


@pytest.mark.parametrize(("cap", "kept"), [(20, 4), (6, 3), (1, 1)])
async def test_ping_keeps_connections_for_an_outage_open(proxy, proxied_url, cap, kept):
    async with opened(proxied_url, max_in_flight=cap) as states:
        for _ in range(3):
            await states.ping()
        assert proxy.accepted == kept
        await asyncio.gather(*(states.read([A]) for _ in range(kept)))
        assert proxy.accepted == kept


async def test_black_hole_during_write_ends_at_deadline(proxy, proxied_url):
    async with opened(proxied_url, write_timeout_ms=300) as states:
        await until_connected(states)
        proxy.hold()
        started = time.monotonic()
        with pytest.raises(DependencyTimeout):
            await states.write_tick(city_tick(TICK_MS))
        assert 0.25 < time.monotonic() - started < BOUND_S


async def test_close_in_a_black_hole_is_bounded(proxy, proxied_url):
    async with opened(proxied_url) as states:
        await until_connected(states)
        proxy.hold()
        started = time.monotonic()
    assert time.monotonic() - started < BOUND_S


async def test_server_gives_a_statement_up_before_we_do(url):
    async with opened(url, timeout_ms=2_000, statement_timeout_ms=100) as states:
        async with locked(url):
            with pytest.raises(DependencyTimeout) as caught:
                await states.read([A])
        assert isinstance(caught.value.__cause__, asyncpg.QueryCanceledError)
        assert set(await states.read([A])) == {A}


async def test_statement_left_ends_on_server_too(proxy, proxied_url, url):
    """The proxy hides that we are gone; only the server's own timeout can end the statement."""
    async with locked(url), opened(proxied_url, timeout_ms=300) as states:
        proxy.latency_s = 0.1
        with pytest.raises(DependencyTimeout):
            await states.read([A])
        await until_idle(url)


async def test_transaction_outlives_the_timeout_of_a_read(url):
    async with (
        opened(url, statement_timeout_ms=20) as states,
        states._primary.transaction(5_000) as connection,
    ):
        await connection.execute("SELECT pg_sleep(0.1)")


async def test_refused_transaction_hands_no_open_one_on(url, caplog):
    async with opened(url, max_in_flight=1) as states:
        with pytest.raises(DependencyRefused):
            async with states._primary.transaction(5_000) as connection:
                await connection.execute("SELECT 1 / 0")
        async with states._primary.connection(5_000) as connection:
            assert not connection.is_in_transaction()
    assert "active transaction" not in caplog.text


async def test_one_call_too_many_is_not_queued(url):
    async with opened(url, max_in_flight=3) as states:
        async with locked(url):
            reads = [asyncio.ensure_future(states.read([A])) for _ in range(8)]
            errors = await asyncio.gather(*reads, return_exceptions=True)
        assert sorted(type(error).__name__ for error in errors) == [
            *["DependencySaturated"] * 5,
            *["DependencyTimeout"] * 3,
        ]
        assert set(await states.read([A])) == {A}


async def test_locked_write_ends_and_leaves_nothing(url):
    state = zone_state(A, TICK_MS + STEP_MS)
    async with opened(url, write_timeout_ms=300) as states:
        async with locked(url):
            with pytest.raises(DependencyTimeout):
                await states.write_tick(city_tick(TICK_MS + STEP_MS, [state]))
        await until_idle(url)
        assert await states.read([A]) == {A: zone_state(A)}


async def test_cancelled_reads_leave_slots_and_answers_right(proxy, proxied_url, url):
    dice = random.Random(5)
    async with opened(proxied_url, timeout_ms=5_000, max_in_flight=4) as states:
        proxy.latency_s = 0.002
        for zone_id in dice.choices(ZONES, k=200):
            read = asyncio.create_task(states.read([zone_id]))
            await asyncio.sleep(dice.uniform(0, 0.02))
            read.cancel()
            await asyncio.wait([read])
        proxy.latency_s = 0.0
        assert states._primary.in_flight == 0
        for zone_id in ZONES:
            assert await states.read([zone_id]) == {zone_id: zone_state(zone_id)}
        await asyncio.gather(*(states.read([A]) for _ in range(4)))
    await until_idle(url)


async def test_cancelled_write_is_whole_or_nothing(url):
    """Cancelled at any moment up to twice what a write takes here that nobody cancels."""
    dice = random.Random(6)

    def write(step: int) -> asyncio.Task[None]:
        tick = TICK_MS + step * STEP_MS
        ours = [zone_state(zone_id, tick, city_id="whole") for zone_id in ZONES]
        return asyncio.create_task(states.write_tick(city_tick(tick, ours, city_id="whole")))

    async with opened(url, write_timeout_ms=5_000) as states:
        await write(2)
        started = time.monotonic()
        await write(3)
        calm_s = time.monotonic() - started
        for step in range(4, 60):
            task = write(step)
            await asyncio.sleep(dice.uniform(0, 2 * calm_s))
            task.cancel()
            await asyncio.wait([task])
    await until_idle(url)
    connection = await asyncpg.connect(url, timeout=10)
    counts = await connection.fetch(
        "SELECT count(*) FROM zone_snapshots WHERE city_id = 'whole' GROUP BY window_end"
    )
    await connection.execute("DELETE FROM zone_snapshots WHERE city_id = 'whole'")
    await connection.close()
    assert {row[0] for row in counts} == {len(ZONES)}


@pytest.mark.parametrize(
    ("reply", "leaf"),
    [
        (Reply.HALF_THEN_CLOSE, DependencyUnavailable),
        (Reply.HALF_THEN_RESET, DependencyUnavailable),
        (Reply.HALF_THEN_SILENCE, DependencyTimeout),
        (Reply.GARBAGE, DependencyError),
    ],
)
async def test_spoiled_reply_does_not_spoil_the_next(proxy, proxied_url, reply, leaf):
    async with opened(proxied_url) as states:
        await states.read([A])
        proxy.next_reply = reply
        with pytest.raises(leaf):
            await states.read([A])
        assert set(await states.read([A])) == {A}


@pytest.mark.parametrize("seed", range(12))
async def test_garbage_in_handshake_is_our_error(proxy, proxied_url, seed):
    proxy.random.seed(seed)
    async with opened(proxied_url, timeout_ms=300) as states:
        proxy.next_reply = Reply.GARBAGE
        with pytest.raises(DependencyError):
            await states.read([A])


async def test_killed_server_is_unavailable_and_comes_back(own_postgres):
    config = DatabaseConfig(url=own_postgres.url)
    await migrate(config, grid_zones(5), timeout_s=20)
    async with opened(own_postgres.url, timeout_ms=5_000) as states:
        await states.write_tick(city_tick(TICK_MS, [zone_state(A)]))
        async with states._primary.connection(5_000) as connection:
            await connection.execute("CHECKPOINT")  # the tests' servers commit without a flush
        await own_postgres.kill()
        with pytest.raises(DependencyUnavailable):
            await states.read([A])
        await own_postgres.start()
        assert set(await states.read([A])) == {A}


async def test_database_that_was_never_migrated_says_so(database_url):
    async with opened(database_url) as states:
        with pytest.raises(DependencyRefused, match="run `equilibrium migrate`"):
            await states.read([A])


async def test_wrong_password_is_refused_and_never_shown(postgres):
    async with opened(f"postgresql://equilibrium:hunter2@{postgres.address}/d") as states:
        with pytest.raises(DependencyRefused) as caught:
            await states.read([A])
    assert "hunter2" not in str(caught.value)


async def test_closed_client_is_unavailable(url):
    async with opened(url) as states:
        await states.ping()
    with pytest.raises(DependencyUnavailable):
        await states.read([A])


async def test_primary_gone_is_answered_by_the_replica(url):
    async with opened(dead_url(), replica_url=url) as states:
        assert set(await states.read([A])) == {A}
        with pytest.raises(DependencyUnavailable):
            await states.write_tick(city_tick(TICK_MS))


async def test_silent_primary_leaves_replica_its_turn(proxy, proxied_url, url):
    clock = [0.0]
    config = DatabaseConfig(url=proxied_url, replica_url=url, timeout_ms=2_000)
    async with PostgresStates(config, now=lambda: clock[0]) as states:
        proxy.hold()
        assert set(await states.read([A])) == {A}
        asked = proxy.accepted
        assert set(await states.read([A])) == {A}
        assert proxy.accepted == asked
        await proxy.heal()
        clock[0] = 5.0
        assert set(await states.read([A])) == {A}
        assert proxy.accepted == asked + 1


async def test_replica_gone_too_fails_within_deadline(proxy, proxied_url):
    async with opened(proxied_url, replica_url=proxied_url) as states:
        proxy.hold()
        started = time.monotonic()
        with pytest.raises(DependencyTimeout):
            await states.read([A])
        assert time.monotonic() - started < BOUND_S


async def test_replica_gone_sends_read_back_to_primary(proxy, proxied_url, url):
    async with opened(url, replica_url=proxied_url, timeout_ms=2_000) as states:
        states._primary_rests_until = states._now() + 60
        await proxy.refuse()
        assert await states.read([A]) == {A: later(zone_state(A), 0)}
