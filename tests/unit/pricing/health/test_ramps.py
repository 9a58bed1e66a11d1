from __future__ import annotations

import pytest

from fallback.breaker import State, Transition, Verdict
from fallback.breaker.window import Counts
from fallback.errors import RampingUp
from fallback.guards.ramp import RampConfig
from pricing.health.ramps import Ramps
from tests.support.api import LadderWorld
from tests.support.fake_clock import FakeClocks
from tests.support.zone_states import zone_state

CONFIG = RampConfig(jitter=0.0)


def change(old: State, new: State) -> Transition:
    return Transition(old, new, 0.0, Counts(0, 0, 0))


@pytest.fixture
def clocks() -> FakeClocks:
    return FakeClocks()


@pytest.fixture
def ramps(clocks) -> Ramps:
    return Ramps({"redis": 0.08, "database": 0.3}, CONFIG, now_s=clocks.now_s, random=lambda: 0.07)


def test_recovered_store_gets_load_in_steps(ramps, clocks):
    assert (ramps.is_ramping, ramps.share("redis"), ramps.admits("redis")) == (False, 100, True)
    ramps.on_state_change("redis", change(State.HALF_OPEN, State.CLOSED))
    shares = []
    while ramps.is_ramping:
        shares.append(ramps.share("redis"))
        ramps.on_call("redis", Verdict.SUCCESS, 0.001)
        clocks.advance(3.1)
        ramps.advance()
    assert shares == [5, 10, 20, 40, 70]
    assert ramps.shares() == {"redis": 100, "database": 100}
    assert ramps.share("redis") == 100


def test_chance_decides_which_call_goes_there(ramps, clocks):
    ramps.on_state_change("redis", change(State.HALF_OPEN, State.CLOSED))
    assert (ramps.admits("redis"), ramps.admits("database")) == (False, True)
    clocks.advance(3.1)
    ramps.advance()
    assert ramps.admits("redis")


def test_failing_or_slow_steps_do_not_count(ramps, clocks):
    ramps.on_state_change("redis", change(State.HALF_OPEN, State.CLOSED))
    clocks.advance(3.1)
    ramps.on_call("redis", Verdict.FAILURE, 0.001)
    ramps.on_call("redis", Verdict.NEUTRAL, 0.001)
    ramps.advance()
    assert ramps.share("redis") == 5
    clocks.advance(3.1)
    for _ in range(9):
        ramps.on_call("redis", Verdict.SUCCESS, 0.081)
    ramps.advance()
    assert ramps.share("redis") == 5


@pytest.mark.parametrize("new", [State.OPEN, State.FORCED_OPEN])
def test_ramp_ends_when_the_breaker_goes_elsewhere(ramps, new):
    ramps.on_state_change("redis", change(State.HALF_OPEN, State.CLOSED))
    ramps.on_state_change("redis", change(State.CLOSED, new))
    assert not ramps.is_ramping


def test_operator_reset_and_other_breakers_ramp_nothing(ramps):
    ramps.on_state_change("redis", change(State.OPEN, State.CLOSED))
    ramps.on_state_change("kafka", change(State.HALF_OPEN, State.CLOSED))
    assert not ramps.is_ramping
    assert ramps.share("kafka") == 100


async def test_read_held_back_goes_to_next_rung():
    world = LadderWorld()
    world.rungs.redis._admits = lambda _name: False
    world.store.put(zone_state("z1"))
    reading = await world.rungs.redis.read(["z1"])
    assert isinstance(reading.failure, RampingUp)
    answer = await world.ladder.price(world.catalogue.zones[0])
    assert (answer.source, world.cache.reads) == ("database", [])
