from __future__ import annotations

import asyncio

import pytest

from pricing.clocks import StateClock
from pricing.errors import DependencyUnavailable
from pricing.model import Source
from pricing.reading.guarded_store import CallGuards, GuardedStore, HopLimits
from pricing.reading.refresh import RefreshParts, ZoneRefresh, refreshing
from pricing.reading.snapshot import SnapshotFile
from tests.support.api import NOW_MS, ZONES, LadderWorld, Shelf, zone
from tests.support.waiting import until
from tests.support.zone_states import TICK_MS, zone_state

DOWN = DependencyUnavailable("x", "down")


class Feed:
    def __init__(self, *states):
        self.states = states
        self.reads = self.rests = 0

    async def read(self):
        self.reads += 1
        return self.states

    async def rest(self):
        self.rests += 1


class Recorder:
    def __init__(self):
        self.seen = []

    def refreshed(self, source, zones):
        self.seen.append((str(source), zones))


def refresh_of(world, *, feed=None, directory=None, recorder=None, every_s=60.0, first_cache=None):
    clock = StateClock(world.clock, lambda: 0.0)
    parts = RefreshParts(
        last_known=world.last_known,
        cache=world.rungs.redis,
        first_cache=first_cache or world.rungs.redis,
        store=world.rungs.database,
        clock=clock,
        feed=feed,
        file=None if directory is None else SnapshotFile(directory),
        observers=() if recorder is None else (recorder,),
    )
    return ZoneRefresh(parts, every_s=every_s)


@pytest.fixture
def world():
    return LadderWorld()


async def test_all_zones_come_from_redis_and_the_rest_from_the_database(world):
    world.cache.put(zone_state("z1"))
    world.store.put(zone_state("z2"), zone_state("z1"))
    recorder = Recorder()
    await refresh_of(world, recorder=recorder).round()
    assert world.ladder.known_states == 2
    assert [set(read) for read in world.store.reads] == [{"z2", "z10"}]
    assert recorder.seen == [("redis", 1), ("database", 1)]


async def test_refreshed_zone_is_answered_from_the_memo(world):
    world.policy = type(world.policy)(memo_ms=60_000)
    world.cache.put(zone_state("z1"))
    await refresh_of(world).round()
    assert (await world.ladder.price(ZONES[0])).source is Source.REDIS
    assert len(world.cache.reads) == 1


async def test_feed_is_asked_only_where_no_store_can_be(world):
    feed = Feed(zone_state("z1", TICK_MS + 1_000))
    refresh = refresh_of(world, feed=feed)
    world.cache.failure = DOWN
    await refresh.round()
    assert (feed.reads, feed.rests) == (0, 1)
    world.store.failure = DOWN
    await refresh.round()
    assert (feed.reads, feed.rests) == (1, 1)
    answer = await world.ladder.price(ZONES[0])
    assert (answer.source, answer.age_ms) == (Source.STALE_CACHE, 1_140)


async def test_many_zones_are_read_in_slices():
    world = LadderWorld(zones=[zone(f"z{number}") for number in range(1_201)])
    await refresh_of(world).round()
    assert [len(read) for read in world.cache.reads] == [500, 500, 201]


async def test_work_is_the_same_whatever_is_asked_meanwhile():
    world = LadderWorld(memo_ms=60_000)
    world.cache.put(*(zone_state(each.zone_id) for each in ZONES))
    refresh = refresh_of(world)
    await refresh.round()
    quiet = len(world.cache.reads)
    for _ in range(100):
        await world.ladder.price(ZONES[0])
    await refresh.round()
    assert len(world.cache.reads) == 2 * quiet


async def test_table_outlives_the_process(world, tmp_path):
    world.cache.put(zone_state("z1"))
    async with refreshing(refresh_of(world, directory=tmp_path)):
        await until(lambda: world.ladder.known_states, "a state")
    later = LadderWorld()
    later.now_ms += 60_000
    later.cache.failure = later.store.failure = DOWN
    async with refreshing(refresh_of(later, directory=tmp_path)):
        answer = await later.ladder.price(ZONES[0])
    assert (answer.source, answer.age_ms) == (Source.STALE_CACHE, 62_140)


async def test_clock_set_back_over_a_restart_makes_nothing_younger(world, tmp_path):
    world.cache.put(zone_state("z1"))
    first = refresh_of(world, directory=tmp_path)
    await first.round()
    await first.save()
    clock = StateClock(lambda: NOW_MS - 3_600_000, lambda: 0.0)
    parts = RefreshParts(
        last_known=world.last_known,
        cache=world.rungs.redis,
        first_cache=world.rungs.redis,
        store=world.rungs.database,
        clock=clock,
        file=SnapshotFile(tmp_path),
    )
    await ZoneRefresh(parts, every_s=60).load()
    assert clock.now_ms() == NOW_MS


async def test_unchanged_table_is_not_written_again(world, tmp_path):
    world.cache.put(zone_state("z1"))
    refresh = refresh_of(world, directory=tmp_path)
    await refresh.round()
    await refresh.save()
    written = (tmp_path / "zones.snapshot").stat().st_mtime_ns
    await refresh.round()
    await refresh.save()
    assert (tmp_path / "zones.snapshot").stat().st_mtime_ns == written


class Slow:
    """A store that answers once it is let."""

    def __init__(self, *states):
        self.shelf = Shelf()
        self.shelf.put(*states)
        self.may_answer = asyncio.Event()

    async def read(self, zone_ids):
        await self.may_answer.wait()
        return await self.shelf.read(zone_ids)


def slow_world():
    """Nobody but the refresh has the time to wait for Redis; Postgres is dead."""
    world = LadderWorld(redis_timeout_ms=1)
    world.store.failure = DOWN
    slow = Slow(*(zone_state(each.zone_id) for each in ZONES))
    world.cache.hangs = True
    patient = GuardedStore(
        dependency="redis",
        source=Source.REDIS,
        states=slow,
        limits=lambda: HopLimits(60_000, in_flight=1),
        guards=CallGuards(breakers=world.breakers),
    )
    return world, slow, patient


async def test_start_waits_for_a_store_that_answers_later_than_readers_may_wait():
    world, slow, patient = slow_world()
    asyncio.get_running_loop().call_later(0.05, slow.may_answer.set)
    async with refreshing(refresh_of(world, first_cache=patient)):
        answer = await world.ladder.price(ZONES[0])
    assert answer.source is Source.STALE_CACHE
    await patient.close()


async def test_start_does_not_hang_where_a_store_does(monkeypatch):
    monkeypatch.setattr("pricing.reading.refresh._FIRST_ROUND_S", 0.01)
    world, slow, patient = slow_world()
    async with refreshing(refresh_of(world, first_cache=patient)):
        assert (await world.ladder.price(ZONES[0])).source is Source.DEFAULT
        slow.may_answer.set()
        await until(lambda: world.ladder.known_states, "the round that came later")
        assert (await world.ladder.price(ZONES[0])).source is Source.STALE_CACHE
    await patient.close()


async def test_patience_ends_once_a_store_has_told_anything():
    world, slow, patient = slow_world()
    slow.may_answer.set()
    world.cache.hangs = False
    refresh = refresh_of(world, first_cache=patient)
    for _ in range(2):
        await refresh.round()
    assert (len(slow.shelf.reads), len(world.cache.reads)) == (1, 1)


async def test_bad_round_does_not_end_the_rounds(world):
    refresh = refresh_of(world, every_s=0.001)
    rounds = []

    async def broken():
        rounds.append(1)
        raise ZeroDivisionError

    refresh.round = broken
    async with refreshing(refresh):
        await until(lambda: len(rounds) > 3, "more rounds")
