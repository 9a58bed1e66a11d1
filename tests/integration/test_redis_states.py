"""What Redis itself holds, and what it does while others meddle with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from pricing.stores.redis_client import open_pool
from pricing.stores.redis_states import RedisConfig, RedisStates
from tests.support.zone_states import STEP_MS, TICK_MS, calm, zone_state

A_HASH = {
    "version": "1709000000000",
    "base_fare": "9.25",
    "currency": "USD",
    "surge_multiplier": "1.35",
    "raw_multiplier": "1.583333",
    "supply_count": "10",
    "demand_count": "30",
    "signal": "live",
    "confidence": "1.00",
    "reasons": '["demand_exceeds_supply","smoothed"]',
    "policy_version": "nyc-e50a7ac6b9e8",
    "city_id": "nyc",
    "window_start": "2024-02-27T02:08:20.000Z",
    "updated_at": "2024-02-27T02:13:20.000Z",
}


def config(url: str, **changes: int) -> RedisConfig:
    """Deadlines of a test machine under load, unless the test is about deadlines."""
    return RedisConfig(url=url, **{"timeout_ms": 5_000, "write_timeout_ms": 5_000, **changes})


@pytest.fixture
async def states(redis_url) -> AsyncIterator[RedisStates]:
    async with RedisStates(config(redis_url, ttl_s=600)) as states:
        yield states


@pytest.fixture
async def redis(redis_url) -> AsyncIterator[Redis]:
    """Somebody else on the same server."""
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


async def test_zone_reads_as_a_hash_that_people_understand(states, redis):
    await states.write([zone_state("237")])
    assert await redis.hgetall("pricing:237") == A_HASH


async def test_only_an_accepted_write_renews_ttl(states, redis):
    await states.write([zone_state("a")])
    await redis.expire("pricing:a", 50)
    await states.write([calm(zone_state("a"))])
    assert await redis.ttl("pricing:a") <= 50
    await states.write([zone_state("a", TICK_MS + STEP_MS)])
    assert 590 <= await redis.ttl("pricing:a") <= 600


async def test_flush_between_writes_costs_nothing(states, redis):
    await states.write([zone_state("a")])
    await redis.flushall()
    await redis.script_flush()
    assert await states.write([zone_state("a"), zone_state("b")]) == 2
    assert len(await states.read(["a", "b"])) == 2


async def test_restart_between_calls_costs_nothing(own_valkey):
    async with RedisStates(config(own_valkey.url)) as states:
        await states.write([zone_state("a")])
        await own_valkey.kill()
        await own_valkey.start()
        assert await states.write([zone_state("a", TICK_MS + STEP_MS)]) == 1
        assert len(await states.read(["a"])) == 1


@pytest.mark.parametrize("version", ["", "tomorrow", "-5", "1e300", "99999999999999999999"])
async def test_foreign_version_gives_way_to_ours(states, redis, version):
    await redis.hset("pricing:a", mapping={**A_HASH, "version": version})
    assert await states.write([zone_state("a")]) == 1
    assert await states.read(["a"]) == {"a": zone_state("a")}


@pytest.mark.parametrize("kind", ["string", "list", "partial", "unreadable", "binary"])
async def test_foreign_key_is_absent_and_then_gives_way(states, redis, kind):
    match kind:
        case "string":
            await redis.set("pricing:a", "9.25")
        case "list":
            await redis.rpush("pricing:a", "9.25")
        case "partial":
            await redis.hset("pricing:a", mapping={"surge_multiplier": "1.35"})
        case "unreadable":
            await redis.hset("pricing:a", mapping={**A_HASH, "version": "1", "reasons": "none"})
        case _:
            await redis.hset("pricing:a", mapping={**A_HASH, "version": "1", "city_id": b"\xff"})
    assert await states.read(["a", "b"]) == {}
    assert await states.write([zone_state("a"), zone_state("b")]) == 2
    assert set(await states.read(["a", "b"])) == {"a", "b"}


async def test_unreadable_hashes_are_logged_once_a_minute(redis_url, redis):
    clock = [0.0]
    await redis.set("pricing:a", "not ours")
    async with RedisStates(config(redis_url), now=lambda: clock[0]) as states:
        with capture_logs() as logs:
            for clock[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
                assert await states.read(["a"]) == {}
    assert [(log["zone_id"], log["count"]) for log in logs] == [("a", 1), ("a", 3)]


async def test_connection_lost_by_pool_is_closed_too(redis_url):
    pool = open_pool(config(redis_url), 1_000, 2)
    connection = await pool.get_connection()
    pool._in_use_connections.remove(connection)  # as a cancelled call may leave it
    assert connection.is_connected
    await pool.aclose()
    assert not connection.is_connected
