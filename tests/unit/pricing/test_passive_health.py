from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fallback.breaker import PROFILES, State
from pricing.errors import DependencySaturated, DependencyTimeout, DependencyUnavailable
from pricing.health import PassiveHealth, WatchedPublisher, probing
from pricing.rungs import new_breakers
from streaming.events import Event
from tests.support.publisher import MemoryPublisher

DOWN = DependencyUnavailable("redis", "refused")
EVENT = Event(id="e", type="t", source="/s", time_ms=0, key="k", data={})


class Clock:
    now_ms = 1_000

    def __call__(self):
        return self.now_ms

    def advance(self, by_ms):
        self.now_ms += by_ms
        return True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def health(clock):
    return PassiveHealth(now_ms=clock, window=4, forget_after_ms=30_000)


def statuses(health, calls):
    seen = []
    for call in calls:
        health.succeeded("redis") if call == "+" else health.failed("redis", DOWN)
        seen.append(health.services()["redis"].status)
    return seen


def test_status_follows_the_last_calls(health):
    assert statuses(health, "+--+---+") == [
        "healthy",
        "degraded",
        "degraded",
        "healthy",
        "degraded",
        "degraded",
        "unhealthy",
        "healthy",
    ]


def test_calls_beyond_the_window_are_forgotten(health):
    statuses(health, "---+++")
    redis = health.services()["redis"]
    assert (redis.failures, redis.successes, redis.failure_rate) == (1, 3, 0.25)


def test_service_not_called_lately_is_unknown(health, clock):
    statuses(health, "-")
    clock.now_ms += 29_999
    assert health.services()["redis"].status == "degraded"
    clock.now_ms += 1
    assert health.services()["redis"].status == "unknown"


def test_change_of_status_is_stamped_and_a_repeat_is_not(health, clock):
    assert health.services()["redis"].last_state_change_ms is None
    statuses(health, "+")
    clock.now_ms = 2_000
    statuses(health, "+")
    assert health.services()["redis"].last_state_change_ms == 1_000


def test_own_full_pool_says_nothing_about_the_server(health):
    health.failed("redis", DependencySaturated("redis", "pool full"))
    assert health.services()["redis"].status == "unknown"


def test_what_is_noticed_on_the_side_counts_only_where_nothing_else_was_heard(health, clock):
    health.noticed("kafka", None, when_idle_ms=5_000)
    assert health.services()["kafka"].status == "healthy"
    clock.now_ms += 4_999
    health.noticed("kafka", DOWN, when_idle_ms=5_000)
    assert health.services()["kafka"].status == "healthy"
    clock.now_ms += 1
    health.noticed("kafka", DOWN, when_idle_ms=5_000)
    assert health.services()["kafka"].status == "degraded"


async def test_publisher_is_watched_as_kafka(health):
    publisher = MemoryPublisher()
    watched = WatchedPublisher(publisher, observers=(health,))
    await watched.publish("t", [EVENT])
    assert health.services()["kafka"].status == "healthy"
    publisher.status = "buffered"
    await watched.publish("t", [EVENT])
    assert health.services()["kafka"].status == "degraded"
    publisher.failure = DOWN
    with pytest.raises(DependencyUnavailable):
        await watched.publish("t", [EVENT])
    assert health.services()["kafka"].failures == 2


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
async def test_probe_that_fails_is_counted_and_does_not_end_the_probing(
    health, clock, failure, failures
):
    calls = []

    async def probe():
        calls.append(1)
        if len(calls) == 1:
            raise failure

    async with probing(health, {"redis": probe}, every_s=0.001):
        await until(lambda: clock.advance(1) and health.services()["redis"].status == "healthy")
    assert health.services()["redis"].failures == failures


async def test_error_under_the_probing_comes_out_as_it_is(health):
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


async def test_store_that_was_gone_and_is_back_is_not_waited_for(health, clock):
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


async def test_store_that_answers_probes_and_fails_calls_is_waited_for(health):
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
