"""How Redis is read: one command for many zones, and by other ways where that is refused."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis
from redis.backoff import NoBackoff

from pricing.stores.redis_states import RedisConfig, RedisStates
from tests.support.zone_states import STEP_MS, TICK_MS, calm, zone_state

STATES = [zone_state("a"), calm(zone_state("b"))]


def config(url):
    return RedisConfig(url=url, timeout_ms=5_000, write_timeout_ms=5_000)


@pytest.fixture
async def redis(redis_url):
    async with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


async def calls(redis, command):
    stats = await redis.info("commandstats")
    return stats.get(f"cmdstat_{command}", {}).get("calls", 0)


async def test_zones_of_one_read_travel_in_one_command(redis_url, redis):
    async with RedisStates(config(redis_url)) as states:
        await states.write(STATES)
        await states.read(["a"])  # teaches the script
        before = await calls(redis, "evalsha_ro")
        assert list((await states.read(["a", "b", "none"])).values()) == STATES
        assert await calls(redis, "evalsha_ro") == before + 1


async def test_forgotten_script_is_sent_again(redis_url, redis):
    async with RedisStates(config(redis_url)) as states:
        await states.write(STATES)
        await states.read(["a"])
        await redis.script_flush()
        assert await states.read(["a"]) == {"a": STATES[0]}


async def test_user_without_scripts_reads_by_pipeline(redis_url, redis):
    async with RedisStates(config(redis_url)) as states:
        await states.write(STATES)
    await redis.execute_command(
        "ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@all", "-@scripting"
    )
    account, _, server = redis_url.rpartition("@")
    reader_url = f"{account.partition('//')[0]}//reader:secret@{server}"
    await redis.set("pricing:odd", "a text")
    async with RedisStates(config(reader_url)) as states:
        for _ in range(2):
            found = await states.read(["b", "odd", "a"])
            assert found == {"a": STATES[0], "b": STATES[1]}
    await redis.execute_command("ACL", "DELUSER", "reader")


async def test_unchanged_hash_gives_the_same_object(redis_url, redis):
    async with RedisStates(config(redis_url)) as states:
        await states.write(STATES)
        first = (await states.read(["a"]))["a"]
        assert (await states.read(["a"]))["a"] is first
        newer = zone_state("a", TICK_MS + STEP_MS)
        await states.write([newer])
        assert (await states.read(["a"]))["a"] == newer
        await redis.hset("pricing:a", "demand_count", "77")
        assert (await states.read(["a"]))["a"].demand_count == 77
        await redis.hset("pricing:a", "demand_count", "many")
        assert await states.read(["a"]) == {}
        await redis.delete("pricing:a")
        assert await states.read(["a"]) == {}


async def test_driver_retries_nothing_on_the_live_pools(redis_url):
    async with RedisStates(config(redis_url)) as states:
        await states.write(STATES)
        await states.read(["a"])
        for client in (states._reader, states._writer):
            pool = client.connection_pool
            connection = await pool.get_connection()
            try:
                assert connection.retry.get_retries() == 0
                assert isinstance(connection.retry._backoff, NoBackoff)
                assert not client.get_retry().get_retries()
            finally:
                await pool.release(connection)
