"""What every `StateCache` does, on Redis and on its in-memory twin."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from pricing.model import Signal
from pricing.ports import StateCache
from pricing.stores.memory import MemoryStates
from pricing.stores.redis_states import RedisConfig, RedisStates
from tests.support.zone_states import STEP_MS, TICK_MS, calm, later, zone_state


@pytest.fixture(params=["memory", "redis"])
def cache_url(request) -> str | None:
    return request.getfixturevalue("redis_url") if request.param == "redis" else None


@pytest.fixture
async def cache(cache_url) -> AsyncIterator[StateCache]:
    if cache_url is None:
        yield MemoryStates()
        return
    # The deadlines of a test machine under load, not of a price.
    config = RedisConfig(url=cache_url, timeout_ms=5_000, write_timeout_ms=5_000)
    async with RedisStates(config) as states:
        yield states


async def test_read_of_nothing_gives_nothing(cache):
    assert await cache.read([]) == {}


async def test_read_of_an_unknown_zone_leaves_it_out(cache):
    await cache.write([zone_state("known")])
    assert set(await cache.read(["known", "unknown"])) == {"known"}


async def test_written_states_come_back_equal(cache):
    states = [
        zone_state("a"),
        calm(zone_state("b")),
        zone_state("c", currency="JPY", base_fare_minor=1_200, confidence_percent=7),
        zone_state("d", currency="KWD", base_fare_minor=1, signal=Signal.SILENT, reasons=()),
        zone_state("e", reasons=("no_data", 'context_cap:"late, night"', "legal_cap:größe")),
    ]
    assert await cache.write(states) == 5
    assert await cache.read([state.zone_id for state in states]) == {
        state.zone_id: state for state in states
    }


async def test_read_of_a_zone_twice_gives_it_once(cache):
    await cache.write([zone_state("a")])
    assert await cache.read(["a", "a"]) == {"a": zone_state("a")}


async def test_newer_version_replaces_an_older_one(cache):
    newer = calm(zone_state("a", TICK_MS + STEP_MS))
    await cache.write([zone_state("a")])
    assert await cache.write([newer]) == 1
    assert await cache.read(["a"]) == {"a": newer}


@pytest.mark.parametrize("age_ms", [0, STEP_MS])
async def test_equal_or_older_version_is_refused(cache, age_ms):
    await cache.write([zone_state("a")])
    assert await cache.write([calm(zone_state("a", TICK_MS - age_ms))]) == 0
    assert await cache.read(["a"]) == {"a": zone_state("a")}


async def test_write_counts_the_accepted_ones(cache):
    await cache.write([zone_state("a"), zone_state("b", TICK_MS + 2 * STEP_MS)])
    states = [zone_state(zone_id, TICK_MS + STEP_MS) for zone_id in ("a", "b", "c")]
    assert await cache.write(states) == 2


@pytest.mark.parametrize("steps", [(0, 1), (1, 0)])
async def test_zone_twice_in_one_write_keeps_the_newer(cache, steps):
    newest = zone_state("a", TICK_MS + STEP_MS)
    await cache.write([later(zone_state("a"), step * STEP_MS) for step in steps])
    assert await cache.read(["a"]) == {"a": newest}


async def test_thousands_of_zones_pass_in_one_call(cache):
    states = {f"z{number}": zone_state(f"z{number}") for number in range(1_301)}
    assert await cache.write(list(states.values())) == 1_301
    assert await cache.read(list(states)) == states


async def test_versions_written_at_once_leave_the_newest(cache):
    ticks = [TICK_MS + step * STEP_MS for step in range(30)]
    random.Random(7).shuffle(ticks)
    zones = [f"z{number}" for number in range(20)]
    writes = [cache.write([zone_state(zone, tick) for zone in zones]) for tick in ticks]
    for start in range(0, len(writes), 3):
        await asyncio.gather(*writes[start : start + 3])
    assert {state.window_end_ms for state in (await cache.read(zones)).values()} == {max(ticks)}
