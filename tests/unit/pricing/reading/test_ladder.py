from __future__ import annotations

import asyncio

import pytest

from pricing.errors import (
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.model import MICRO, Freshness, Source
from pricing.reading.answer import FallbackReason
from pricing.reading.policy import OLDEST_MS, ReadPolicy
from tests.support.api import NOW_MS, ZONES, LadderWorld
from tests.support.zone_states import TICK_MS, zone_state

Z1, Z2, Z10 = ZONES


async def test_price_in_redis_is_answered_without_asking_the_database():
    world = LadderWorld()
    world.cache.put(zone_state("z1"))
    answer = await world.ladder.price(Z1)
    assert (answer.source, answer.fallback_reason, answer.warning) == (Source.REDIS, None, None)
    assert (answer.price_minor, answer.age_ms, answer.as_of_ms) == (1249, 2_140, TICK_MS)
    assert world.store.reads == []


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (None, FallbackReason.REDIS_MISS),
        (DependencyTimeout("redis", "late"), FallbackReason.REDIS_TIMEOUT),
        (DependencyUnavailable("redis", "refused"), FallbackReason.REDIS_UNAVAILABLE),
        (DependencySaturated("redis", "pool full"), FallbackReason.REDIS_UNAVAILABLE),
        (DependencyRefused("redis", "out of memory"), FallbackReason.REDIS_UNAVAILABLE),
        (ZeroDivisionError("a fault of the adapter"), FallbackReason.REDIS_UNAVAILABLE),
    ],
)
async def test_price_not_in_redis_comes_from_the_database(failure, reason):
    world = LadderWorld()
    world.cache.failure = failure
    world.store.put(zone_state("z1"))
    answer = await world.ladder.price(Z1)
    assert (answer.source, answer.fallback_reason) == (Source.DATABASE, reason)
    assert answer.freshness is Freshness.REAL_TIME


async def test_rungs_that_hang_cost_their_timeouts_and_no_more():
    world = LadderWorld(redis_timeout_ms=5, database_timeout_ms=5)
    world.cache.hangs = world.store.hangs = True
    async with asyncio.timeout(1):
        answer = await world.ladder.price(Z1)
    assert answer.source is Source.DEFAULT
    assert answer.fallback_reason is FallbackReason.ALL_SYSTEMS_FAILED
    assert world.metric("dependency_calls_total", dependency="redis", outcome="timeout") == 1


async def test_last_known_state_is_answered_when_no_store_can_be_read():
    world = LadderWorld()
    world.cache.put(zone_state("z1"))
    await world.ladder.price(Z1)
    world.cache.failure = world.store.failure = DependencyUnavailable("x", "down")
    world.now_ms += 60_000
    answer = await world.ladder.price(Z1)
    assert answer.source is Source.STALE_CACHE
    assert answer.fallback_reason is FallbackReason.ALL_SYSTEMS_UNAVAILABLE
    assert (answer.price_minor, answer.age_ms) == (1249, 62_140)
    assert answer.freshness is Freshness.STALE
    assert answer.warning


async def test_state_from_the_database_is_kept_with_its_true_age():
    world = LadderWorld()
    world.store.put(zone_state("z1", TICK_MS - 100_000))
    await world.ladder.price(Z1)
    world.store.failure = DependencyUnavailable("database", "down")
    answer = await world.ladder.price(Z1)
    assert (answer.source, answer.age_ms) == (Source.STALE_CACHE, 102_140)
    assert answer.fallback_reason is FallbackReason.REDIS_MISS


async def test_default_fare_is_the_zones_own_and_is_kept_nowhere():
    world = LadderWorld()
    answer = await world.ladder.price(Z10)
    assert (answer.source, answer.freshness) == (Source.DEFAULT, Freshness.DEFAULT)
    assert (answer.price_minor, answer.multiplier_micro, answer.currency) == (1_300, MICRO, "JPY")
    assert (answer.as_of_ms, answer.age_ms, answer.confidence_percent) == (NOW_MS, 0, 10)
    assert (answer.supply_count, answer.demand_count, answer.policy_version) == (0, 0, None)
    assert answer.fallback_reason is FallbackReason.REDIS_MISS
    assert world.ladder.known_states == 0


async def test_state_older_than_the_limit_is_no_answer_wherever_it_is():
    world = LadderWorld()
    world.cache.put(zone_state("z1"))
    world.store.put(zone_state("z1"))
    world.last_known.keep([zone_state("z1")])
    world.now_ms = TICK_MS + OLDEST_MS + 1
    assert (await world.ladder.price(Z1)).source is Source.DEFAULT
    world.now_ms = TICK_MS + OLDEST_MS
    assert (await world.ladder.price(Z1)).source is Source.REDIS


async def test_batch_reads_each_rung_once_for_what_is_still_open():
    world = LadderWorld()
    world.cache.put(zone_state("z2"))
    world.store.put(zone_state("z1"))
    answers = await world.ladder.prices([Z10, Z2, Z1, Z2])
    assert [answer.zone for answer in answers] == [Z10, Z2, Z1, Z2]
    assert [answer.source for answer in answers] == ["default", "redis", "database", "redis"]
    assert world.cache.reads == [("z10", "z2", "z1")]
    assert world.store.reads == [("z10", "z1")]


async def test_batch_of_nothing_reads_nothing():
    world = LadderWorld()
    assert await world.ladder.prices([]) == []
    assert world.cache.reads == world.store.reads == []


async def test_cancelled_read_is_cancelled_and_no_failure():
    world = LadderWorld()
    world.cache.hangs = True
    task = asyncio.create_task(world.ladder.price(Z1))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.health.services()["redis"].status == "unknown"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("redis_timeout_ms", 0),
        ("redis_in_flight", -1),
        ("database_timeout_ms", 0),
        ("database_in_flight", -1),
        ("memo_ms", -1),
        ("deadline_ms", 0),
        ("reads_in_flight", -1),
    ],
)
def test_policy_out_of_range_names_the_value(name, value):
    with pytest.raises(ValueError, match=f"{name}={value}"):
        ReadPolicy(**{name: value})
