"""Health for operators: from memory, as documented, with and without a slash."""

from __future__ import annotations

import pytest

from pricing.api.health.detailed import EXAMPLES, BreakersHealth, DegradationHealth, DetailedHealth
from pricing.errors import DependencyUnavailable
from tests.support.api import World
from tests.support.zone_states import zone_state

MODELS = {
    "detailed": DetailedHealth,
    "circuit-breakers": BreakersHealth,
    "degradation": DegradationHealth,
}


async def get(world, path):
    async with world.client() as client:
        return await client.get(path)


async def told(world, name):
    response = await get(world, f"/health/{name}")
    return MODELS[name].model_validate_json(response.content)


async def failing_redis():
    world = World()
    world.cache.failure = DependencyUnavailable("redis", "refused")
    world.store.put(zone_state("z1"))
    for _ in range(7):
        await get(world, "/api/v1/zones/z1/price")
    return world


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("name", MODELS)
async def test_every_endpoint_answers_from_memory_as_documented(name, slash):
    world = World()
    response = await get(world, f"/health/{name}{slash}")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"
    MODELS[name].model_validate_json(response.content)
    assert world.cache.reads == world.store.reads == []


@pytest.mark.parametrize("model", MODELS.values())
def test_example_is_one_of_its_model(model):
    model.model_validate(EXAMPLES[model])


async def test_failing_dependency_is_told_with_its_breaker():
    world = await failing_redis()
    health = await told(world, "detailed")
    assert health.overall_status == "degraded"
    redis = health.checks["redis"]
    assert (redis.status, redis.breaker, redis.failures) == ("unhealthy", "OPEN", 5)
    assert redis.response_time_ms >= 0
    assert health.checks["database"].status == "healthy"
    assert (health.stale_zones, health.default_fares) == (1, 3)


async def test_breakers_tell_their_counts_and_when_they_changed():
    world = await failing_redis()
    health = await told(world, "circuit-breakers")
    assert health.status == "degraded"
    redis = health.circuitBreakers["redis"]
    assert redis.state == "OPEN"
    assert (redis.counts.totalFailures, redis.counts.rejects) == (5, 2)
    assert 0 < redis.retry_after_s <= 1.2
    assert redis.last_state_change <= health.timestamp
    assert health.circuitBreakers["database"].window.calls == 7


async def test_degradation_tells_what_is_left():
    world = await failing_redis()
    health = await told(world, "degradation")
    assert health.degraded
    assert health.degraded_services == ["redis"]
    assert health.limits.stale_limit_ms == 15_000
    assert not (await told(World(), "degradation")).degraded
