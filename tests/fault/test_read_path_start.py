"""The first prices of a process, with dependencies dead or late from the start."""

from __future__ import annotations

import time

import pytest

from pricing.stores.redis_states import RedisConfig, RedisStates
from tests.support.processes import environment
from tests.support.read_path import (
    COMBINATIONS,
    GUARD_S,
    REAL,
    ZONES,
    api_process,
    expected,
    say,
    ticking,
    until_only,
    until_source,
)
from tests.support.servers import through

pytestmark = pytest.mark.timeout(300)

UP_S = 2.0
"""A start with everything dead, on a machine of its own."""


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


@pytest.mark.parametrize("dead", COMBINATIONS, ids=lambda dead: "+".join(sorted(dead)) or "none")
async def test_every_combination_of_dead_dependencies_at_the_start(
    settings, proxies, ticks, dead, tmp_path
):
    for name in dead:
        await proxies[name].refuse()
    async with api_process(settings, tmp_path) as api:
        seen = await api.read_for(0.6)
        say(f"dead at the start: {sorted(dead)}: up in {api.started_s:.2f} s, {seen}")
        assert not seen.failures
        nothing_left = {"redis", "database"} <= dead
        assert set(seen.sources) <= ({"default"} if nothing_left else REAL | {"default"})
        if not nothing_left:
            await until_only(api, expected(dead))
        ready = await api.get("/health/ready")
        assert ready.status_code == 200
    if api.started_s > UP_S:  # then this machine is slow with everything alive too
        for proxy in proxies.values():
            await proxy.heal()
        async with api_process(settings, tmp_path) as well:
            assert api.started_s < UP_S + 2 * well.started_s


async def test_first_prices_come_from_a_store_that_answers_beyond_the_readers_deadline(
    settings, proxies, ticks, tmp_path
):
    proxies["redis"].latency_s = 0.6 * GUARD_S  # each way
    await proxies["database"].refuse()
    async with api_process(settings, tmp_path) as api:
        seen = await api.read_for(2.0)
        redis_s = await first_read_s(settings["EQUILIBRIUM_REDIS_URL"])
        say(f"Redis takes {redis_s:.2f} s, Postgres is dead: up in {api.started_s:.2f} s, {seen}")
        assert not seen.failures
        # A start waits for a second. Where the machine takes the half of it by itself, the round
        # after the start's may be the first to come through.
        late = {"default"} if redis_s > 0.5 else set()
        assert set(seen.sources) <= {"redis", "stale_cache"} | late
        await until_only(api, {"redis", "stale_cache"}, others=late)


async def first_read_s(redis_url: str) -> float:
    """What a first read of every zone takes, connecting and all."""
    async with RedisStates(RedisConfig(url=redis_url, timeout_ms=10_000)) as cache:
        began_s = time.monotonic()
        await cache.read([zone.zone_id for zone in ZONES])
        return time.monotonic() - began_s


async def test_last_states_outlive_a_restart_with_everything_dead(
    settings, proxies, ticks, tmp_path
):
    async with api_process(settings, tmp_path) as api:
        await until_source(api, "redis")
        await api.settled()  # all zones are known
        await api.process.stop()
    for proxy in proxies.values():
        await proxy.refuse()
    async with api_process(settings, tmp_path) as api:
        seen = await api.read_for(0.5)
        answer = (await api.get("/api/v1/zones/161/price")).json()
    say(f"cold, everything dead, a snapshot on disk: up in {api.started_s:.2f} s, {seen}")
    assert set(seen.sources) == {"stale_cache"}
    assert 1 <= answer["data"]["surge_multiplier"] <= 1.35
    assert 500 < answer["age_ms"] < 120_000, "the age goes on over the restart"
