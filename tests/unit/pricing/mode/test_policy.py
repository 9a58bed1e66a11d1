"""What holds at a level, as requests see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from fallback.breaker import State, Transition
from fallback.breaker.window import Counts
from fallback.mode import Level
from pricing.api.app import create_app
from pricing.health.ramps import Ramps
from pricing.metrics.api import Metrics
from pricing.mode.current import CurrentPolicy
from pricing.mode.policy import policies
from pricing.model import MICRO, ZoneState
from pricing.reading.policy import ReadPolicy
from pricing.wiring.api import database_retry
from tests.support.api import Shelf, World
from tests.support.system_mode import Shown
from tests.support.zone_states import zone_state

PRICE = "/api/v1/zones/z1/price"


class SlowShelf(Shelf):
    """A store that answers once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.may_answer = asyncio.Event(), asyncio.Event()

    async def read(self, zone_ids: Sequence[str]) -> Mapping[str, ZoneState]:
        self.is_asked.set()
        await self.may_answer.wait()
        return await super().read(zone_ids)


@pytest.fixture
def world() -> World:
    """Its policy is the one that its mode makes hold; its only store is slow."""
    world = World()
    current = CurrentPolicy(policies(ReadPolicy(memo_ms=0), 50_000))
    world.stepped.orchestrator.observe(current)
    world.dependencies = replace(world.dependencies, policy=lambda: current.now)
    world.app = create_app(world.dependencies)
    world.slow = SlowShelf()
    world.slow.put(zone_state("z1", multiplier_micro=3 * MICRO))
    world.cache.read = world.slow.read
    return world


def worsen(world: World, shown: Shown, level: Level) -> None:
    shown.show("redis", level)
    shown.clocks.advance(1.0)
    world.stepped.orchestrator.step()


@pytest.mark.parametrize("path", [PRICE, "/api/v1/price?lat=40.758028&lon=-73.977698"])
async def test_request_keeps_its_mode_until_answered(world, path):
    async with world.client() as client:
        early = asyncio.create_task(client.get(path))
        await asyncio.wait_for(world.slow.is_asked.wait(), 5)
        worsen(world, world.shown, Level.CRITICAL)
        world.slow.may_answer.set()
        before, after = await early, await client.get(path)
    assert before.headers["x-system-mode"] == before.json()["mode"] == "normal"
    assert before.json()["data"]["surge_multiplier"] == 3.0
    assert after.headers["x-system-mode"] == after.json()["mode"] == "emergency"
    assert after.json()["data"]["surge_multiplier"] == 1.0


def test_ramping_store_has_its_full_deadline():
    """At a shortened one the ramp would fail by our own haste, and the mode would stay."""
    ramps = Ramps({"redis": 0.08})
    for policy in policies(ReadPolicy(redis_timeout_ms=90), 50_000):
        current = CurrentPolicy([policy])
        assert current.of_stores(ramps) is policy.read
        assert replace(policy.ramping, redis_timeout_ms=policy.read.redis_timeout_ms) == policy.read
    ramps.on_state_change("redis", Transition(State.HALF_OPEN, State.CLOSED, 0.0, Counts(0, 0, 0)))
    assert current.of_stores(ramps).redis_timeout_ms == 90
    assert policy.read.redis_timeout_ms == 25


def test_level_lowers_how_much_may_be_tried_again():
    current = CurrentPolicy(levels := policies(ReadPolicy(), 50_000))
    budget = database_retry(current, Metrics()).budget
    for _ in range(100):
        budget.note_call()
    balances = []
    for policy in levels:
        current.now = policy
        balances.append(round(budget.balance))
    assert balances == [40, 35, 0, 0, 0]
