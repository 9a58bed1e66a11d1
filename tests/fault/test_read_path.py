"""Prices while Redis, Postgres and Kafka are hurt: a real process behind fault proxies."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from tests.support.processes import environment
from tests.support.raw_http import Timed, cancel_requests, percentile, read_in_turn
from tests.support.read_path import (
    COMBINATIONS,
    DEPENDENCIES,
    FAULTS,
    GUARD_S,
    ONE_REPLY,
    REAL,
    ZONES,
    Api,
    api_process,
    expected,
    hurt,
    say,
    ticking,
    until_only,
    until_source,
)
from tests.support.servers import through
from tests.support.tcp_proxy import TcpProxy
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(300)

SLACK_S = 0.5
"""For a machine that does other things too; the figures themselves are printed."""
FLAP_S = float(os.environ.get("EQUILIBRIUM_TEST_FLAP_S", "12"))
CANCEL_S = float(os.environ.get("EQUILIBRIUM_TEST_CANCEL_S", "4"))
CANCEL_RATE = 2_000
MEASURE_S, PAUSE_S = 2.0, 0.005
ZONE_PATHS = [f"/api/v1/zones/{zone.zone_id}/price" for zone in ZONES]


@pytest.fixture
def proxies(redis_proxy, postgres_proxy, kafka_proxy):
    return {"redis": redis_proxy, "database": postgres_proxy, "kafka": kafka_proxy}


@pytest.fixture
def settings(proxies, redis_url, database_url, proxied_kafka_config, tmp_path):
    return environment(
        database_url=through(database_url, proxies["database"]),
        redis_url=through(redis_url, proxies["redis"]),
        kafka=proxied_kafka_config,
        state_dir=tmp_path / "state",
    )


@pytest.fixture
async def ticks(redis_url, database_url):
    async with ticking(redis_url, database_url):
        yield


@pytest.fixture
async def api(settings, ticks, tmp_path):
    async with api_process(settings, tmp_path) as api:
        await until_source(api, "redis")
        await api.settled()
        yield api


@asynccontextmanager
async def hurting(proxy: TcpProxy, fault: str):
    """The fault for as long as the block lasts, also where one reply uses it up."""

    async def again_and_again():
        while True:
            await hurt(proxy, fault)
            await asyncio.sleep(0.002)

    await hurt(proxy, fault)
    task = asyncio.create_task(again_and_again()) if fault in ONE_REPLY else None
    try:
        yield
    finally:
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await proxy.heal()


@pytest.mark.parametrize("dependency", DEPENDENCIES)
async def test_every_fault_of_one_dependency_leaves_every_zone_a_price(api, proxies, dependency):
    calm = await api.read_for(1.0)
    assert not calm.failures
    say(f"{dependency}, calm: {calm}")
    for fault in FAULTS:
        async with hurting(proxies[dependency], fault):
            before = await api.read_for(0.6)
            after = await api.read_for(0.8)
        say(f"{dependency}, {fault}: at first {before}; then {after}")
        for seen in (before, after):
            assert not seen.failures, (fault, seen.failures[:3])
            assert set(seen.sources) <= REAL, fault
            # The guard of Redis, and where that fails the deadline of Postgres never adds up;
            # beside it what this machine makes of a read without any fault.
            limit_ms = 1000 * (GUARD_S + SLACK_S) + 2 * calm.percentile_ms(99)
            assert seen.percentile_ms(99) < limit_ms, fault
        await until_source(api, "redis")


async def test_every_combination_of_dead_dependencies_in_mid_run(api, proxies):
    # With Redis dead last: one that has just come back gets its load back in steps, and until
    # then what the dead Postgres cannot answer is stale.
    for dead in sorted(COMBINATIONS, key=lambda dead: "redis" in dead):
        for name, proxy in proxies.items():
            await (proxy.refuse() if name in dead else proxy.heal())
        seen = await api.read_for(0.7)
        settled = await until_only(api, expected(dead))
        say(f"dead: {sorted(dead)}: {seen}, {dict(seen.reasons)}; then {settled}")
        assert not seen.failures, (dead, seen.failures[:3])
        assert set(seen.sources) <= REAL, dead
    for proxy in proxies.values():
        await proxy.heal()
    await until_source(api, "redis")


BELOW = ("database", "stale_cache")
"""The rungs below Redis."""


async def test_postgres_is_spared_when_redis_dies_at_full_load(
    settings, proxies, ticks, database_url, tmp_path
):
    cap = 3
    own = {**settings, "EQUILIBRIUM_DATABASE_MAX_IN_FLIGHT": str(cap), "EQUILIBRIUM_MEMO_MS": "0"}
    async with api_process(own, tmp_path) as api:
        await until_source(api, "redis")
        await api.settled()
        async with most_queries(database_url) as most, api.reading(48, pause_s=0) as seen:
            await until(lambda: len(seen.latencies_s) > 500, "full load")
            proxies["database"].latency_s = 0.02
            await proxies["redis"].refuse()
            # On a busy machine the breaker of Postgres opens soon: then they are stale.
            await until(lambda: sum(seen.sources[each] for each in BELOW) > 50, "reads without it")
            await asyncio.sleep(1)
    say(f"Redis dies at full load: {seen}; at most {most.count} queries at once (cap {cap})")
    assert not seen.failures
    assert most.count <= cap
    assert not seen.sources["default"]


@dataclass
class Most:
    """The most of our queries that the server had under way at any look."""

    count: int = 0


@asynccontextmanager
async def most_queries(database_url: str):
    most, over = Most(), asyncio.Event()
    watching = asyncio.create_task(_watch(database_url, most, over))
    try:
        yield most
    finally:
        over.set()
        await watching


async def _watch(database_url: str, most: Most, over: asyncio.Event) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        while not over.is_set():
            busy = await connection.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' "
                "AND datname = current_database() AND query LIKE '%ANY(%' "
                "AND pid <> pg_backend_pid()"
            )
            most.count = max(most.count, busy)
            await asyncio.sleep(0.005)
    finally:
        await connection.close()


def resources(pid: int) -> tuple[int, int]:
    """Open descriptors, and resident kilobytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), int(kilobytes)


@pytest.mark.soak
@pytest.mark.timeout(FLAP_S + 300)
async def test_flapping_leaves_nothing_behind(api, proxies):
    pid = api.process.pid
    rounds, end_s = [], time.monotonic() + FLAP_S
    while time.monotonic() < end_s:
        for name in ("redis", "database"):
            await proxies[name].refuse()
        seen = await api.read_for(0.7)
        assert not seen.failures
        for name in ("redis", "database"):
            await proxies[name].heal()
        seen = await api.read_for(1.3)
        assert not seen.failures
        rounds.append(resources(pid))
    await until_source(api, "redis")
    say(f"flapping for {FLAP_S:g} s (descriptors, kB): {rounds[0]} to {rounds[-1]}")
    first, last = rounds[min(1, len(rounds) - 1)], rounds[-1]
    assert last[0] <= first[0] + 20
    assert last[1] <= first[1] * 1.25 + 20_000


@pytest.mark.soak
async def test_cancelled_requests_shift_no_answer(settings, proxies, ticks, tmp_path):
    own = {**settings, "EQUILIBRIUM_MEMO_MS": "0"}
    async with api_process(own, tmp_path) as api:
        await until_source(api, "redis")
        before = resources(api.process.pid)
        async with reading(api.port, ZONE_PATHS) as seen:
            rate = await cancel_requests(api.port, ZONE_PATHS, CANCEL_RATE, CANCEL_S)
        await until_source(api, "redis")
        after = resources(api.process.pid)
    say(
        f"{rate:.0f} cancelled requests a second for {CANCEL_S:g} s beside {len(seen.took_s)} "
        f"reads, none of them shifted; descriptors, kB: {before} to {after}"
    )
    assert seen.took_s
    # Both stores' connections may all be open now; each read that was given up would leave more.
    assert after[0] <= before[0] + 80


@asynccontextmanager
async def reading(port: int, paths: list[str], readers: int = 16, pause_s: float = 0.0):
    """Reads of these, in turn, for as long as the block lasts; each must be answered rightly."""
    seen, over = Timed(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for first in range(readers):
            own = itertools.cycle(paths[first::readers])
            tasks.create_task(read_in_turn(port, own, over, seen, pause_s))
        try:
            yield seen
        finally:
            over.set()


@asynccontextmanager
async def querying(url: str):
    """What the rung below costs by itself: one of its queries after the other."""
    took_s, over = [], asyncio.Event()

    async def query() -> None:
        connection = await asyncpg.connect(url)
        while not over.is_set():
            began_s = time.monotonic()
            await connection.fetch("SELECT * FROM current_zone_status WHERE zone_id = '161'")
            took_s.append(time.monotonic() - began_s)
            await asyncio.sleep(PAUSE_S)
        await connection.close()

    task = asyncio.create_task(query())
    try:
        yield took_s
    finally:
        over.set()
        await task


async def test_black_hole_costs_the_guard_until_the_breaker_opens_and_then_next_to_nothing(
    settings, proxies, ticks, tmp_path
):
    stays_open = "redis,wait_duration_in_open_s=60,max_wait_duration_in_open_s=60"
    own = {**settings, "EQUILIBRIUM_MEMO_MS": "0", "EQUILIBRIUM_BREAKER_REDIS": stays_open}
    async with (
        api_process(own, tmp_path) as api,
        querying(own["EQUILIBRIUM_DATABASE_URL"]) as below,
    ):
        await until_source(api, "redis")
        await api.settled()
        async with reading(api.port, ZONE_PATHS, pause_s=PAUSE_S) as calm:
            await asyncio.sleep(MEASURE_S)
        proxies["redis"].hold()
        below.clear()
        async with reading(api.port, ZONE_PATHS, pause_s=PAUSE_S) as first:
            await until_open(api, "redis")
            opened_s = time.monotonic()
        async with reading(api.port, ZONE_PATHS, pause_s=PAUSE_S) as later:
            await asyncio.sleep(MEASURE_S)
    guarded = first.before(opened_s)
    calm_s, guarded_s, later_s, below_s = (
        percentile(took_s, 99) for took_s in (calm.took_s, guarded, later.took_s, below)
    )
    # On a machine of its own a query takes a millisecond; here it tells what others take.
    limit_s = GUARD_S + 0.015 + 2 * below_s
    beyond = sum(took_s > limit_s for took_s in guarded) / len(guarded)
    say(
        f"Redis in a black hole: p99 {1000 * calm_s:.1f} ms before, {1000 * guarded_s:.1f} ms "
        f"until the breaker opens ({len(guarded)} reads, {beyond:.1%} beyond the guard and what "
        f"the rung below takes), {1000 * later_s:.1f} ms from then on: {later_s / calm_s:.2f} of "
        f"before; of a query to the rung below meanwhile {1000 * below_s:.1f} ms"
    )
    # A share, for what this machine does beside it holds up a few.
    assert beyond <= 0.25
    assert later_s <= 1.5 * calm_s + 2 * below_s


async def until_open(api: Api, dependency: str, within_s: float = 60) -> None:
    end_s = time.monotonic() + within_s
    while await api.breaker(dependency) != "OPEN":
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)
