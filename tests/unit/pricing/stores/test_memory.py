"""What the twin does beyond the contracts of the two stores."""

from __future__ import annotations

from pricing.stores.memory import MemoryStates
from tests.support.zone_states import STEP_MS, TICK_MS, calm, city_tick, later, zone_state


async def test_read_gives_newer_of_cache_and_store():
    states = MemoryStates()
    await states.write([calm(zone_state("a"))])
    await states.write_tick(city_tick(TICK_MS - STEP_MS, [zone_state("a", TICK_MS - STEP_MS)]))
    assert await states.read(["a"]) == {"a": calm(zone_state("a"))}
    await states.write_tick(city_tick(TICK_MS + STEP_MS))
    assert await states.read(["a"]) == {"a": later(zone_state("a"), STEP_MS)}


async def test_city_tick_does_not_move_cached_states():
    states = MemoryStates()
    await states.write([zone_state("a")])
    await states.write_tick(city_tick(TICK_MS + STEP_MS))
    assert await states.read(["a"]) == {"a": zone_state("a")}
