from __future__ import annotations

import pytest

from pricing.api.app import ApiConfig
from pricing.api.schemas.clients import Health, Live, Ready
from pricing.errors import DependencyUnavailable
from tests.support.api import World
from tests.support.zone_states import zone_state

DOWN = DependencyUnavailable("redis", "refused")


async def get(world, path):
    async with world.client() as client:
        return await client.get(path)


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("probe", ["", "/live", "/ready"])
async def test_probes_answer_with_and_without_a_slash(probe, slash):
    response = await get(World(), f"/health{probe}{slash}")
    assert response.status_code == 200
    assert response.headers["cache-control"] == "no-store"


async def test_health_has_the_address_of_older_clients_too():
    world = World()
    assert (await get(world, "/api/health")).json() == (await get(world, "/health")).json()


async def test_health_of_a_process_that_called_nothing_yet():
    content = (await get(World(), "/health")).json()
    unknown = {
        "status": "unknown",
        "state": "CLOSED",
        "failures": 0,
        "successes": 0,
        "failureRate": 0,
        "last_state_change": None,
    }
    assert content == {
        "status": "healthy",
        "mode": "normal",
        "timestamp": "2024-02-27T02:13:22.140Z",
        "services": {"redis": unknown, "database": unknown, "kafka": unknown},
        "fallbackData": {"stale_zones": 0, "default_fares": 3},
        "message": "All systems operational",
    }


async def test_failing_dependency_makes_health_degraded_and_stays_200():
    world = World()
    world.cache.failure = DOWN
    world.store.put(zone_state("z1"))
    await get(world, "/api/v1/zones/z1/price")
    response = await get(world, "/health")
    health = Health.model_validate_json(response.content)
    assert (response.status_code, health.status) == (200, "degraded")
    assert (health.services.redis.status, health.services.redis.failureRate) == ("degraded", 1)
    assert health.services.database.status == "healthy"
    assert health.fallbackData.stale_zones == 1
    assert (await get(world, "/health/ready")).status_code == 200


async def test_worse_mode_alone_makes_health_degraded():
    world = World()
    world.mode = "degraded"
    content = (await get(world, "/health")).json()
    assert (content["status"], content["mode"]) == ("degraded", "degraded")


async def test_live_and_ready_are_as_documented():
    Live.model_validate_json((await get(World(), "/health/live")).content)
    Ready.model_validate_json((await get(World(), "/health/ready")).content)


async def test_draining_process_is_live_and_not_ready():
    world = World()
    world.dependencies.drain.begin()
    response = await get(world, "/health/ready")
    assert (response.status_code, response.json()["reasons"]) == (503, ["draining"])
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"]
    assert response.headers["connection"] == "close"
    assert (await get(world, "/health/live")).status_code == 200


async def test_required_dependency_must_be_known_to_be_healthy():
    world = World(ApiConfig(readiness_requires=("database",)))
    response = await get(world, "/health/ready")
    assert (response.status_code, response.json()["reasons"]) == (503, ["database is unknown"])
    world.health.succeeded("database")
    assert (await get(world, "/health/ready")).status_code == 200
    world.health.failed("database", DOWN)
    assert (await get(world, "/health/ready")).json()["reasons"] == ["database is degraded"]


async def test_process_without_zones_is_unhealthy_and_not_ready():
    world = World(zones=[])
    response = await get(world, "/health")
    assert (response.status_code, response.json()["status"]) == (503, "unhealthy")
    assert response.headers["retry-after"]
    assert (await get(world, "/health/ready")).json()["reasons"] == ["no zones"]
