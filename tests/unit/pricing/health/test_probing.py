from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fallback.breaker import PROFILES, State
from pricing.errors import DependencyTimeout, DependencyUnavailable
from pricing.health.passive import PassiveHealth
from pricing.health.probing import probing
from pricing.reading.guarded_store import new_breakers
from tests.support.fake_clock import WallMs

DOWN = DependencyUnavailable("redis", "refused")


@pytest.fixture
def clock():
    return WallMs()


@pytest.fixture
def health(clock):
    return PassiveHealth(now_ms=clock, window=4, forget_after_ms=30_000)


async def until(condition):
    async with asyncio.timeout(2):
        while not condition():
            await asyncio.sleep(0.001)


async def test_probes_call_only_what_is_idle(health):
    calls = []

    async def probe():
        calls.append(1)

    health.succeeded("redis")
    probes = {"redis": probe, "database": probe}
    async with probing(health, probes, every_s=60):
        await until(lambda: health.services()["database"].status == "healthy")
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("failure", "failures"), [(DependencyTimeout("redis", "late"), 1), (OSError("a fault"), 0)]
)
async def test_failed_probe_counts_and_probing_goes_on(health, clock, failure, failures):
    calls = []

    async def probe():
        calls.append(1)
        if len(calls) == 1:
            raise failure

    async with probing(health, {"redis": probe}, every_s=0.001):
        await until(lambda: clock.advance(1) and health.services()["redis"].status == "healthy")
    assert health.services()["redis"].failures == failures


async def test_error_inside_the_block_is_not_wrapped(health):
    with pytest.raises(ZeroDivisionError):
        async with probing(health, {"redis": asyncio.Event().wait}):
            raise ZeroDivisionError


async def test_probe_that_hangs_is_a_failure(health):
    async with probing(health, {"redis": asyncio.Event().wait}, every_s=60, timeout_s=0.005):
        await until(lambda: health.services()["redis"].status == "degraded")


class Listener:
    """Hears probes."""

    def __init__(self):
        self.seen = []

    def probed(self, service, *, is_good, duration_s):
        self.seen.append((service, is_good))
        assert duration_s >= 0


async def test_probes_are_heard_and_go_through_the_breaker(health):
    calls = []

    async def probe():
        calls.append(1)
        raise DependencyUnavailable("redis", "refused")

    breakers = new_breakers({"redis": PROFILES["redis"]})
    heard = Listener()
    async with probing(
        health, {"redis": probe}, breakers=breakers, observers=(heard,), every_s=0.001
    ):
        await until(lambda: breakers["redis"].state is State.HALF_OPEN or len(calls) >= 1)
    assert heard.seen[0] == ("redis", False)
    assert breakers["redis"].snapshot().failures_total == len(heard.seen)


async def test_breaker_that_is_open_closes_without_traffic(health, clock):
    config = replace(PROFILES["redis"], wait_duration_in_open_s=0.001)
    breakers = new_breakers({"redis": config})
    failing = [True]

    async def probe():
        if failing[0]:
            raise DependencyUnavailable("redis", "refused")

    async with probing(health, {"redis": probe}, breakers=breakers, every_s=0.001):
        await until(lambda: clock.advance(1) and breakers["redis"].state is State.OPEN)
        failing[0] = False
        await until(lambda: breakers["redis"].state is State.CLOSED)


async def test_store_seen_back_is_called_at_once(health, clock):
    config = replace(PROFILES["redis"], wait_duration_in_open_s=10.0)
    breakers = new_breakers({"redis": config})
    calls, failing = [], [True]

    async def probe():
        calls.append(breakers["redis"].state)
        if failing[0]:
            raise DependencyUnavailable("redis", "refused")

    async with probing(health, {"redis": probe}, breakers=breakers, every_s=0.001):
        await until(lambda: clock.advance(1) and calls.count(State.OPEN) > 3)
        assert breakers["redis"].state is State.OPEN
        failing[0] = False
        await until(lambda: breakers["redis"].state is State.CLOSED)


async def test_store_that_fails_only_calls_is_awaited(health):
    config = replace(PROFILES["redis"], wait_duration_in_open_s=10.0)
    breakers = new_breakers({"redis": config})
    calls = []

    async def probe():
        calls.append(1)

    for _ in range(config.minimum_number_of_calls):
        breakers["redis"].settle(breakers["redis"].acquire(), DOWN)
    async with probing(health, {"redis": probe}, breakers=breakers, every_s=0.001):
        await until(lambda: len(calls) > 20)
    assert breakers["redis"].state is State.OPEN


async def test_store_failing_while_returning_is_retried_soon(health, clock):
    config = replace(PROFILES["redis"], wait_duration_in_open_s=10.0)
    breakers = new_breakers({"redis": config})
    redis, states = breakers["redis"], []
    failing = [True]

    async def probe():
        states.append(redis.state)
        # Gone; then there for whoever looks, but not yet for calls, three times over.
        if failing[0] or (redis.state is State.HALF_OPEN and states.count(State.HALF_OPEN) < 6):
            raise DOWN

    async with probing(health, {"redis": probe}, breakers=breakers, every_s=0.001):
        await until(lambda: clock.advance(1) and states.count(State.OPEN) > 1)
        failing[0] = False
        await until(lambda: redis.state is State.CLOSED)
    assert states.count(State.HALF_OPEN) > 6
