"""What stands around the stores: memo, single flight, breakers, caps, deadline."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from fallback.breaker import State
from fallback.guards.deadline import request_deadline
from pricing.errors import DependencySaturated, DependencyUnavailable
from pricing.model import Source
from pricing.reading.answer import FallbackReason, Via
from pricing.reading.policy import Level, ReadPolicy, level_of, stale_limit_ms
from tests.support.api import ZONES, LadderWorld
from tests.support.waiting import until
from tests.support.zone_states import STEP_MS, TICK_MS, zone_state

Z1, Z2, Z10 = ZONES
DOWN = DependencyUnavailable("x", "refused")


async def until_open(world, name):
    breaker = world.breakers[name]
    while breaker.state is State.CLOSED:
        await world.ladder.price(Z1)
    assert breaker.state is State.OPEN


async def test_repeated_read_is_answered_from_the_memo():
    world = LadderWorld(memo_ms=60_000)
    world.cache.put(zone_state("z1"))
    first = await world.ladder.price(Z1)
    second = await world.ladder.price(Z1)
    assert len(world.cache.reads) == 1
    assert (first.via, second.via) == (Via.READ, Via.MEMO)
    assert replace(second, via=first.via) == first
    since_s = world.ladder.memo_since_s(world.policy)
    assert world.ladder.remembered("z1", since_s, world.now_ms).state == zone_state("z1")


async def test_memo_keeps_the_source_and_the_reason_of_what_it_holds():
    world = LadderWorld(memo_ms=60_000)
    world.store.put(zone_state("z1"))
    for _ in range(2):
        answer = await world.ladder.price(Z1)
        assert (answer.source, answer.fallback_reason) == ("database", "redis_miss")
    assert len(world.store.reads) == 1


async def test_memo_switched_off_asks_every_time():
    world = LadderWorld(memo_ms=0)
    world.cache.put(zone_state("z1"))
    await world.ladder.price(Z1)
    await world.ladder.price(Z1)
    assert len(world.cache.reads) == 2
    since_s = world.ladder.memo_since_s(world.policy)
    assert world.ladder.remembered("z1", since_s, world.now_ms) is None


async def test_memo_is_never_older_than_its_limit():
    world = LadderWorld(memo_ms=20)
    world.cache.put(zone_state("z1"))
    await world.ladder.price(Z1)
    world.cache.put(zone_state("z1", TICK_MS + STEP_MS))
    began = asyncio.get_running_loop().time()
    while (await world.ladder.price(Z1)).as_of_ms == TICK_MS:
        await asyncio.sleep(0.001)
        assert asyncio.get_running_loop().time() - began < 1


async def test_zone_that_no_store_has_is_not_asked_for_again_at_once():
    world = LadderWorld(memo_ms=60_000)
    world.last_known.keep([zone_state("z1", TICK_MS - 60_000)])
    world.cache.failure = DOWN
    first, second = [await world.ladder.price(Z1) for _ in range(2)]
    assert len(world.store.reads) == 1
    assert first == second
    assert (second.source, second.fallback_reason) == ("stale_cache", "redis_unavailable")


async def test_reads_of_one_zone_share_one_flight():
    world = LadderWorld()
    world.cache.put(zone_state("z1"), zone_state("z2"))
    answers = await asyncio.gather(*(world.ladder.price(zone) for zone in (Z1, Z2, Z1, Z1)))
    assert world.cache.reads == [("z1", "z2")]
    assert [answer.via for answer in answers] == [Via.READ, Via.READ, Via.FLIGHT, Via.FLIGHT]
    assert world.rungs.redis.followers_total == 2


async def test_cancelled_reader_leaves_the_others_their_answer():
    world = LadderWorld(redis_timeout_ms=60_000)
    world.cache.hangs = True
    first = asyncio.create_task(world.ladder.price(Z1))
    await until(lambda: world.cache.reads, "a read")
    second = asyncio.create_task(world.ladder.price(Z1))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert not second.done()
    assert world.breakers["redis"].snapshot().counts.calls == 0
    second.cancel()
    await world.rungs.close()


async def test_open_breaker_spares_the_store_and_is_named():
    world = LadderWorld()
    world.cache.failure = DOWN
    world.store.put(zone_state("z1"))
    await until_open(world, "redis")
    asked = len(world.cache.reads)
    answer = await world.ladder.price(Z1)
    assert len(world.cache.reads) == asked
    assert (answer.source, answer.fallback_reason) == ("database", FallbackReason.BREAKER_OPEN)


@pytest.mark.parametrize(
    ("level", "reason"),
    [
        (Level.MODERATE, FallbackReason.ALL_SYSTEMS_UNAVAILABLE),
        (Level.SEVERE, FallbackReason.EMERGENCY_MODE),
    ],
)
async def test_read_that_an_emergency_leaves_no_call_for_says_so(level, reason):
    world = LadderWorld(level=level, redis_in_flight=0, database_in_flight=0)
    world.last_known.keep([zone_state("z1")])
    answer = await world.ladder.price(Z1)
    assert (answer.source, answer.fallback_reason) == (Source.STALE_CACHE, reason)
    assert world.cache.reads == world.store.reads == []


async def test_both_breakers_open_cost_no_call_at_all():
    world = LadderWorld()
    world.cache.failure = world.store.failure = DOWN
    world.last_known.keep([zone_state("z1")])
    await until_open(world, "redis")
    await until_open(world, "database")
    asked = len(world.cache.reads), len(world.store.reads)
    answer = await world.ladder.price(Z1)
    assert (len(world.cache.reads), len(world.store.reads)) == asked
    assert (answer.source, answer.fallback_reason) == ("stale_cache", "all_systems_unavailable")


@pytest.mark.parametrize("name", ["redis", "database"])
async def test_our_own_full_pool_opens_no_breaker(name):
    world = LadderWorld()
    world.cache.failure = world.store.failure = DependencySaturated("x", "full")
    for _ in range(50):
        await world.ladder.price(Z1)
    assert world.breakers[name].state is State.CLOSED


async def test_misses_open_no_breaker():
    world = LadderWorld()
    for _ in range(50):
        await world.ladder.price(Z1)
    assert {breaker.state for breaker in world.breakers} == {State.CLOSED}


async def test_timeouts_open_the_breaker():
    world = LadderWorld(redis_timeout_ms=1)
    world.cache.hangs = True
    await until_open(world, "redis")
    assert world.metric("circuit_breaker_state", service="redis") == 1
    assert world.metric("circuit_breaker_failures_total", service="redis") == 5


async def test_cap_of_the_database_holds_and_the_rest_is_stale():
    world = LadderWorld(database_in_flight=1, database_timeout_ms=60_000, deadline_ms=60_000)
    world.cache.failure = DOWN
    world.store.hangs = True
    world.last_known.keep([zone_state("z1"), zone_state("z2")])
    waiting = asyncio.create_task(world.ladder.price(Z1))
    await until(lambda: world.store.reads, "a query")
    answer = await world.ladder.price(Z2)
    assert (answer.source, answer.fallback_reason) == ("stale_cache", "all_systems_unavailable")
    assert world.rungs.database.bulkhead.in_flight == 1
    waiting.cancel()
    await world.rungs.close()


async def test_level_that_leaves_the_database_alone_asks_it_nothing():
    world = LadderWorld(database_in_flight=0)
    await world.ladder.price(Z1)
    assert world.store.reads == []


async def test_reads_beyond_the_cap_are_answered_from_memory_and_never_refused():
    world = LadderWorld(reads_in_flight=1, redis_timeout_ms=60_000, deadline_ms=60_000)
    world.cache.hangs = True
    world.last_known.keep([zone_state("z2")])
    waiting = asyncio.create_task(world.ladder.price(Z1))
    await until(lambda: world.cache.reads, "a read")
    answers = [await world.ladder.price(zone) for zone in (Z2, Z10)]
    assert [answer.source for answer in answers] == ["stale_cache", "default"]
    waiting.cancel()
    await world.rungs.close()


async def test_request_with_little_time_left_waits_no_longer_and_harms_nobody():
    world = LadderWorld(redis_timeout_ms=60_000)
    world.cache.hangs = True
    world.last_known.keep([zone_state("z1")])
    with request_deadline(0.05):
        answer = await world.ladder.price(Z1)
    assert (answer.source, answer.fallback_reason) == ("stale_cache", "all_systems_unavailable")
    assert world.store.reads == [], "a hop without time is not begun"
    assert world.breakers["redis"].snapshot().counts.calls == 0
    await world.rungs.close()


@pytest.mark.parametrize(
    ("level", "limit_ms"),
    [
        (Level.NORMAL, 15_000),
        (Level.MINOR, 30_000),
        (Level.MODERATE, 120_000),
        (Level.SEVERE, 600_000),
        (Level.CRITICAL, 3_600_000),
    ],
)
async def test_hard_age_limit_of_a_stale_answer_is_the_levels(level, limit_ms):
    assert stale_limit_ms(level) == limit_ms
    world = LadderWorld(level=level)
    world.last_known.keep([zone_state("z1")])
    world.now_ms = TICK_MS + limit_ms
    assert (await world.ladder.price(Z1)).source is Source.STALE_CACHE
    world.now_ms += 1
    assert (await world.ladder.price(Z1)).source is Source.DEFAULT


def test_level_of_a_read_is_told_by_what_it_could_not_ask():
    assert level_of(cache_failed=False, store_failed=False) is Level.NORMAL
    assert level_of(cache_failed=True, store_failed=False) is Level.MODERATE
    assert level_of(cache_failed=False, store_failed=True) is Level.MODERATE
    assert level_of(cache_failed=True, store_failed=True) is Level.CRITICAL
    assert ReadPolicy().stale_limit_ms(Level.SEVERE) == 600_000
    assert ReadPolicy(level=Level.MINOR).stale_limit_ms(Level.SEVERE) == 600_000
    assert ReadPolicy(level=Level.SEVERE).stale_limit_ms(Level.MINOR) == 600_000


async def test_timeout_of_a_process_that_stood_still_says_nothing_of_the_server():
    world = LadderWorld(redis_timeout_ms=1)

    async def blocked(_zone_ids):
        time.sleep(0.05)  # noqa: ASYNC251 - what a busy machine does to the event loop
        await asyncio.Event().wait()

    world.cache.read = blocked
    for _ in range(6):
        answer = await world.ladder.price(Z1)
    assert answer.source is Source.DEFAULT
    assert world.breakers["redis"].state is State.CLOSED


async def test_zones_that_the_memo_is_asked_for_are_read_again_beside_another():
    now_s = [1_000.0]
    world = LadderWorld(memo_ms=60_000, now_s=lambda: now_s[0], prefetches=True)
    world.cache.put(zone_state("z1"), zone_state("z2"), zone_state("z10"))
    await world.ladder.price(Z1)
    await world.ladder.price(Z1)  # out of the memo: now it is wanted
    now_s[0] += 29
    await world.ladder.price(Z2)
    assert world.cache.reads[-1] == ("z2",), "not at the half of its time yet"
    now_s[0] += 2
    newer = zone_state("z1", TICK_MS + STEP_MS)
    world.cache.put(newer)
    await world.ladder.price(Z10)
    assert world.cache.reads[-1] == ("z10", "z1")
    assert world.last_known.get("z1") == newer
    assert (await world.ladder.price(Z1)).via is Via.MEMO
    assert len(world.cache.reads) == 3
