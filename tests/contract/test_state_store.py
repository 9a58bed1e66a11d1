"""What every `StateStore` does, on Postgres and on its in-memory twin."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from pricing.model import Signal, is_changed
from pricing.ports import StateStore
from pricing.stores.memory import MemoryStates
from pricing.stores.migrate import migrate
from pricing.stores.postgres_states import DatabaseConfig, PostgresStates
from tests.support.grid_city import grid_zones
from tests.support.zone_states import STEP_MS, TICK_MS, calm, city_tick, later, zone_state

ZONES = [zone.zone_id for zone in grid_zones(6)]
A, B = ZONES[:2]


@pytest.fixture(params=["memory", "postgres"])
def store_url(request) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def store(store_url) -> AsyncIterator[StateStore]:
    if store_url is None:
        yield MemoryStates()
        return
    # The deadlines of a test machine under load, not of a price.
    config = DatabaseConfig(url=store_url, timeout_ms=5_000)
    await migrate(config, grid_zones(6), timeout_s=20)
    async with PostgresStates(config) as states:
        yield states


async def test_read_of_nothing_gives_nothing(store):
    assert await store.read([]) == {}


async def test_read_before_the_first_tick_leaves_zones_out(store):
    assert await store.read([A]) == {}


async def test_snapshots_come_back_equal(store):
    states = [
        zone_state(A),
        calm(zone_state(B)),
        zone_state(ZONES[2], currency="JPY", base_fare_minor=1_200, confidence_percent=7),
        zone_state(ZONES[3], signal=Signal.SILENT, reasons=()),
        zone_state(ZONES[4], reasons=("no_data", 'context_cap:"late, {night}"', "NULL", "größe")),
    ]
    await store.write_tick(city_tick(TICK_MS, states))
    assert await store.read(ZONES) == {state.zone_id: state for state in states}


async def test_read_of_a_zone_twice_gives_it_once(store):
    await store.write_tick(city_tick(TICK_MS, [zone_state(A)]))
    assert await store.read([A, A]) == {A: zone_state(A)}


async def test_unchanged_zone_is_as_recent_as_tick(store):
    await store.write_tick(city_tick(TICK_MS, [zone_state(A)]))
    await store.write_tick(city_tick(TICK_MS + 7 * STEP_MS))
    assert await store.read([A]) == {A: later(zone_state(A), 7 * STEP_MS)}


async def test_tick_of_another_city_moves_nothing(store):
    await store.write_tick(city_tick(TICK_MS, [zone_state(A)]))
    await store.write_tick(city_tick(TICK_MS + STEP_MS, city_id="boston"))
    assert await store.read([A]) == {A: zone_state(A)}


async def test_late_tick_takes_nothing_back(store):
    now = zone_state(A, TICK_MS + STEP_MS)
    await store.write_tick(city_tick(TICK_MS + STEP_MS, [now]))
    await store.write_tick(city_tick(TICK_MS, [calm(zone_state(A)), zone_state(B)]))
    assert await store.read([A, B]) == {A: now, B: later(zone_state(B), STEP_MS)}


async def test_repeated_tick_changes_nothing(store):
    await store.write_tick(city_tick(TICK_MS, [zone_state(A)]))
    await store.write_tick(city_tick(TICK_MS, [calm(zone_state(A))]))
    assert await store.read([A]) == {A: zone_state(A)}


async def test_run_length_code_gives_every_tick_back(store):
    """Brute force: what was left out is what did not change."""
    dice = random.Random(11)
    before = {zone: zone_state(zone) for zone in ZONES}
    await store.write_tick(city_tick(TICK_MS, before.values()))
    for step in range(1, 40):
        tick = TICK_MS + step * STEP_MS
        states = {
            zone: (calm if dice.random() < 0.2 else lambda same: same)(zone_state(zone, tick))
            for zone in ZONES
        }
        told = [state for zone, state in states.items() if is_changed(state, before[zone])]
        await store.write_tick(city_tick(tick, told))
        assert await store.read(ZONES) == states
        before = states
