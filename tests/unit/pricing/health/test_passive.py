from __future__ import annotations

import pytest

from pricing.errors import DependencySaturated, DependencyUnavailable
from pricing.health.passive import PassiveHealth
from streaming.events.event_types import Event
from tests.support.fake_clock import WallMs

DOWN = DependencyUnavailable("redis", "refused")
EVENT = Event(id="e", type="t", source="/s", time_ms=0, key="k", data={})


@pytest.fixture
def clock():
    return WallMs()


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


def test_only_a_change_of_status_is_stamped(health, clock):
    assert health.services()["redis"].last_state_change_ms is None
    statuses(health, "+")
    clock.now_ms = 2_000
    statuses(health, "+")
    assert health.services()["redis"].last_state_change_ms == 1_000


def test_own_full_pool_says_nothing_about_the_server(health):
    health.failed("redis", DependencySaturated("redis", "pool full"))
    assert health.services()["redis"].status == "unknown"


def test_side_result_counts_only_for_idle_dependency(health, clock):
    health.note_if_idle("kafka", None, idle_ms=5_000)
    assert health.services()["kafka"].status == "healthy"
    clock.now_ms += 4_999
    health.note_if_idle("kafka", DOWN, idle_ms=5_000)
    assert health.services()["kafka"].status == "healthy"
    clock.now_ms += 1
    health.note_if_idle("kafka", DOWN, idle_ms=5_000)
    assert health.services()["kafka"].status == "degraded"
