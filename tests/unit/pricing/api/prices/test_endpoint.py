from __future__ import annotations

import orjson
import pytest

from pricing.api.prices import endpoint
from pricing.api.prices.rendering import amount, factor
from pricing.api.schemas.clients import PriceAnswer, PriceAnswers
from pricing.errors import DependencyTimeout, DependencyUnavailable
from pricing.model import Signal
from pricing.surge.policy.file import load_policy
from pricing.surge.policy.policy import decide
from pricing.surge.policy.windows import WindowConfig
from pricing.zones import load_catalogue
from tests.support.api import INSIDE_Z1, OUTSIDE, World
from tests.support.zone_states import zone_state

PRICE = "/api/v1/zones/z1/price"
DOWN = DependencyUnavailable("x", "down")


@pytest.fixture
def world():
    world = World()
    world.cache.put(zone_state("z1"))
    return world


async def test_price_of_a_zone_is_the_documented_answer(world):
    async with world.client() as client:
        response = await client.get(PRICE)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = PriceAnswer.model_validate_json(response.content)
    assert (answer.source, answer.mode, answer.age_ms) == ("redis", "normal", 2_140)
    assert b'"base_fare":9.25,"surge_multiplier":1.35,"price":12.49' in response.content
    assert "fallback_reason" not in response.json()


async def test_price_says_where_it_came_from_in_its_headers(world):
    async with world.client() as client:
        headers = (await client.get(PRICE)).headers
    assert headers["age"] == "2"
    assert headers["cache-control"] == "private, max-age=5, stale-if-error=300"
    assert headers["cache-status"] == "redis; hit; ttl=2"
    assert headers["x-system-mode"] == "normal"
    assert headers["x-system-degraded"] == "false"
    assert headers["x-cache-status"] == headers["x-database-status"] == "CLOSED"


async def test_price_with_everything_down_is_the_default_fare(world):
    world.cache.failure = world.store.failure = DOWN
    async with world.client() as client:
        response = await client.get(PRICE)
    answer = PriceAnswer.model_validate_json(response.content)
    assert (response.status_code, answer.source, answer.data.price) == (200, "default", 9.25)
    assert answer.fallback_reason == "all_systems_failed"
    assert response.headers["cache-control"] == "no-store"
    assert "etag" not in response.headers
    assert response.headers["x-system-degraded"] == "true"


async def test_mode_of_the_request_is_in_body_and_headers(world):
    world.mode = "emergency"
    async with world.client() as client:
        response = await client.get(PRICE)
    assert response.json()["mode"] == response.headers["x-system-mode"] == "emergency"
    assert response.headers["x-system-degraded"] == "true"


@pytest.mark.parametrize("form", ["{}", 'W/"other", {}', "*"])
async def test_client_that_has_the_state_gets_304_and_the_new_age(world, form):
    async with world.client() as client:
        tag = (await client.get(PRICE)).headers["etag"]
        world.now_ms += 1_000
        response = await client.get(PRICE, headers={"If-None-Match": form.format(tag)})
    assert (response.status_code, response.content) == (304, b"")
    assert (response.headers["etag"], response.headers["age"]) == (tag, "3")


async def test_client_with_another_state_gets_the_new_one(world):
    async with world.client() as client:
        tag = (await client.get(PRICE)).headers["etag"]
        world.now_ms += 60_000
        response = await client.get(PRICE, headers={"If-None-Match": tag})
    assert response.status_code == 200


async def test_price_of_an_unknown_zone_is_404(world):
    async with world.client() as client:
        response = await client.get("/api/v1/zones/nowhere/price")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:equilibrium:problem:unknown-zone"
    assert world.cache.reads == []


async def test_price_at_a_place_is_that_of_its_zone(world):
    async with world.client() as client:
        response = await client.get("/api/v1/price", params=INSIDE_Z1)
    assert PriceAnswer.model_validate_json(response.content).data.zone_id == "z1"


async def test_price_outside_every_zone_is_404(world):
    async with world.client() as client:
        response = await client.get("/api/v1/price", params=OUTSIDE)
    assert response.status_code == 404
    assert response.json()["type"] == "urn:equilibrium:problem:outside-zones"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/lat"),
        ("lat=40.7", "/lon"),
        ("lat=90.1&lon=0", "/lat"),
        ("lat=0&lon=-180.5", "/lon"),
        ("lat=north&lon=0", "/lat"),
        ("lat=nan&lon=0", "/lat"),
        ("lat=0&lon=inf", "/lon"),
        ("lat=0&lon=1e999", "/lon"),
        ("lat=0&lon=0&zoom=3", "/zoom"),
    ],
)
async def test_wrong_place_is_422_naming_the_parameter(world, query, pointer):
    async with world.client() as client:
        response = await client.get(f"/api/v1/price?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_batch_answers_in_the_order_asked_with_unknown_zones_in_place(world):
    async with world.client() as client:
        response = await client.post(
            "/api/v1/prices", json={"zone_ids": ["z10", "nowhere", "z1", "z10"]}
        )
    assert response.status_code == 200
    PriceAnswers.model_validate_json(response.content)
    first, second, third, fourth = response.json()["data"]
    assert (first["source"], first["data"]["price"]) == ("default", 1300)
    assert second == {
        "zone_id": "nowhere",
        "error": {
            "type": "urn:equilibrium:problem:unknown-zone",
            "title": "No zone has this id",
            "status": 404,
        },
    }
    assert (third["source"], fourth) == ("redis", first)
    assert world.cache.reads == [("z10", "z1")]
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("zone_ids", [[], ["nowhere"]])
async def test_batch_without_a_known_zone_reads_no_store(world, zone_ids):
    async with world.client() as client:
        response = await client.post("/api/v1/prices", json={"zone_ids": zone_ids})
    assert (response.status_code, len(response.json()["data"])) == (200, len(zone_ids))
    assert world.cache.reads == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/zone_ids"),
        ({"zone_ids": "z1"}, "/zone_ids"),
        ({"zone_ids": ["z1", 2]}, "/zone_ids/1"),
        ({"zone_ids": ["z1"] * 501}, "/zone_ids"),
        ({"zone_ids": ["z1"], "zone": 1}, "/zone"),
        ({"zone_ids": ["x" * 65]}, "/zone_ids/0"),
        ([], ""),
        (None, ""),
    ],
)
async def test_wrong_batch_is_422_with_a_pointer(world, body, pointer):
    async with world.client() as client:
        response = await client.post("/api/v1/prices", content=orjson.dumps(body))
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer


async def test_answers_are_counted_by_source_and_reason(world):
    world.store.failure = DependencyTimeout("database", "late")
    async with world.client() as client:
        await client.get(PRICE)
        await client.post("/api/v1/prices", json={"zone_ids": ["z1", "z2", "z10"]})
    assert world.metric("answer_source_total", source="redis") == 2
    assert world.metric("answer_source_total", source="default") == 2
    assert world.metric("fallback_usage_total", source="default", reason="redis_miss") == 2
    assert world.metric("answer_age_seconds_count") == 2
    assert world.metric("dependency_calls_total", dependency="database", outcome="timeout") == 1


def test_documented_example_is_what_the_shipped_policy_gives():
    data = endpoint._EXAMPLE["data"]
    policy = load_policy(None, WindowConfig())
    place = load_catalogue(None).zone(data["zone_id"])
    decision = decide(
        policy,
        policy.rules_for(place),
        demand=data["demand_count"],
        supply=data["supply_count"],
        signal=Signal.LIVE,
    )
    assert data["reasons"] == list(decision.reasons)
    assert data["surge_multiplier"] == factor(decision.multiplier_micro)
    assert data["base_fare"] == amount(place.base_fare_minor, place.currency)
    assert data["price"] == data["base_fare"] * data["surge_multiplier"]
    assert data["policy_version"] == policy.version
