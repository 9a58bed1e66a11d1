"""The route before the router: the same answers, from the memo, with every header."""

from __future__ import annotations

import asyncio

import pytest
from starlette.responses import Response
from structlog.testing import capture_logs

from fallback.mode import Level
from pricing.access.auth import NotAuthenticated
from pricing.api.app import ApiConfig
from pricing.api.middleware import RequestEdge
from pricing.api.prices.fast_path import PriceFastPath
from pricing.api.prices.reader import PriceReader
from pricing.api.schemas.clients import PriceAnswer, PriceAnswers
from pricing.errors import DependencyUnavailable
from pricing.reading.policy import ReadPolicy
from pricing.reading.surge_limit import SurgeLimit
from tests.support.api import INSIDE_Z1, World
from tests.support.zone_states import TICK_MS, zone_state

PRICE = "/api/v1/zones/z1/price"
ROUTE = "/api/v1/zones/{zone_id}/price"


@pytest.fixture
def world():
    world = World(memo_ms=60_000)
    world.cache.put(zone_state("z1"), zone_state("z2"))
    return world


async def get(world, path=PRICE, **headers):
    async with world.client() as client:
        return await client.get(path, headers=headers)


def told(response, *but):
    return {name: value for name, value in response.headers.items() if name not in but}


async def test_memo_answers_as_the_store_did(world):
    first, second = await get(world), await get(world)
    assert first.content == second.content
    assert len(world.cache.reads) == 1
    apart = ("x-request-id", "cache-status")
    assert told(first, *apart) == told(second, *apart)
    assert first.headers["cache-status"] == "redis; hit; ttl=2"
    assert second.headers["cache-status"] == "memo; hit; ttl=2"


async def test_route_and_router_answer_alike(world):
    await get(world)
    direct = await get(world)
    routed = await get(world, f"/api/v1/price?lat={INSIDE_Z1['lat']}&lon={INSIDE_Z1['lon']}")
    assert routed.content == direct.content
    assert told(routed, "x-request-id") == told(direct, "x-request-id")


async def test_age_goes_on_in_the_memo(world):
    await get(world)
    world.now_ms += 3_210
    response = await get(world)
    answer = PriceAnswer.model_validate_json(response.content)
    assert (answer.age_ms, response.headers["age"]) == (5_350, "5")


@pytest.mark.parametrize("age_ms", [15_000, 15_001, 100_000])
async def test_confidence_and_freshness_go_on_too(world, age_ms):
    await get(world)
    world.now_ms = TICK_MS + age_ms
    fresh = World(memo_ms=0)
    fresh.now_ms = world.now_ms
    fresh.cache.put(zone_state("z1"))
    assert (await get(world)).content == (await get(fresh)).content
    assert len(world.cache.reads) == 1


async def test_surge_that_fades_with_age_fades_in_the_memo_too(world):
    fading = SurgeLimit(level=Level.SEVERE)
    world.policy = ReadPolicy(memo_ms=600_000, surge=fading)
    multipliers = []
    for age_ms in (0, 150_000, 300_000):
        world.now_ms = TICK_MS + age_ms
        multipliers.append((await get(world)).json()["data"]["surge_multiplier"])
    assert multipliers == [1.35, 1.15, 1.0]
    assert len(world.cache.reads) == 1


async def test_mode_that_changes_is_told_from_the_memo_too(world):
    await get(world)
    world.mode = "degraded"
    response = await get(world)
    assert response.json()["mode"] == response.headers["x-system-mode"] == "degraded"


async def test_client_that_has_the_memos_state_gets_304(world):
    tag = (await get(world)).headers["etag"]
    response = await get(world, **{"If-None-Match": f'"x", {tag}'})
    assert (response.status_code, response.content) == (304, b"")
    assert response.headers["etag"] == tag
    assert response.headers["x-request-id"]
    assert "content-length" not in response.headers


async def test_answers_of_the_memo_are_counted(world):
    for _ in range(3):
        await get(world)
    async with world.client() as client:
        await client.post("/api/v1/prices", json={"zone_ids": ["z1", "z2", "z10"]})
    assert world.metric("answer_source_total", source="redis") == 5
    assert world.metric("answer_source_total", source="default") == 1
    assert world.metric("answer_age_seconds_count") == 5
    count = "http_request_duration_seconds_count"
    assert world.metric(count, route=ROUTE, method="GET", status="200") == 3


async def test_batch_takes_what_the_memo_has_and_reads_the_rest(world):
    await get(world)
    async with world.client() as client:
        response = await client.post("/api/v1/prices", json={"zone_ids": ["z2", "z1", "x", "z1"]})
    PriceAnswers.model_validate_json(response.content)
    second, first, unknown, again = response.json()["data"]
    assert (second["data"]["zone_id"], first, unknown["zone_id"]) == ("z2", again, "x")
    assert world.cache.reads == [("z1",), ("z2",)]


async def test_page_of_another_origin_gets_its_header_from_the_memo_too():
    world = World(ApiConfig(cors_origins=("https://shop.example",)), memo_ms=60_000)
    await get(world)
    response = await get(world, Origin="https://shop.example")
    assert response.headers["access-control-allow-origin"] == "https://shop.example"


async def test_fault_on_the_way_is_500_without_its_text(world):
    async def broken(*_, **__):
        raise ZeroDivisionError("secret")

    world.ladder.find = broken
    with capture_logs() as logs:
        response = await get(world)
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert [line["event"] for line in logs] == ["request broke", "request answered"]


async def test_reads_of_prices_are_not_logged_but_where_they_fail():
    world = World(ApiConfig(log_price_reads=False))
    with capture_logs() as logs:
        assert (await get(world)).status_code == 200
        assert (await get(world, "/api/v1/zones/nowhere/price")).status_code == 404
    assert [line["status"] for line in logs] == [404]


async def test_headers_tell_the_breakers_states_as_they_are():
    world = World()
    world.cache.failure = DependencyUnavailable("redis", "refused")
    world.store.put(zone_state("z1"))
    for _ in range(5):
        response = await get(world)
    assert response.headers["x-cache-status"] == "OPEN"
    assert response.headers["x-database-status"] == "CLOSED"
    assert response.headers["x-circuit-breaker-db"] == "CLOSED"
    assert response.headers["x-system-degraded"] == "true"
    assert (await get(world)).json()["fallback_reason"] == "breaker_open"
    world.breakers["redis"].reset()
    assert (await get(world, "/nowhere")).headers["x-cache-status"] == "CLOSED"
    health = (await get(world, "/health")).json()
    assert health["services"]["redis"]["state"] == "CLOSED"


async def test_who_may_not_is_refused_before_anything_is_looked_up(world):
    def identify(_headers):
        raise NotAuthenticated("Send an API key.", has_key=False)

    await get(world)
    looked = []
    world.dependencies.gate.identify = identify
    world.ladder.remembered = lambda *asked: looked.append(asked)
    assert (await get(world)).status_code == 401
    assert (await get(world, "/api/v1/zones/nowhere/price")).status_code == 401
    assert looked == []


async def test_each_read_looks_into_the_memo_once(world):
    looked, remembered = [], world.ladder.remembered

    def counted(zone_id, *moment):
        looked.append(zone_id)
        return remembered(zone_id, *moment)

    world.ladder.remembered = counted
    await get(world)
    assert (looked, len(world.cache.reads)) == (["z1"], 1), "and where the store is asked too"
    await get(world)
    assert (looked, len(world.cache.reads)) == (["z1", "z1"], 1)


async def test_price_while_the_process_drains_is_the_same_price(world):
    before = await get(world)
    world.dependencies.drain.begin()
    after = await get(world)
    assert (after.status_code, after.content) == (200, before.content)
    assert after.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/api/v1/events/ride-requests", "/admin/anything"])
async def test_request_beyond_its_kinds_cap_is_503_and_prices_go_on(path):
    world = World(ApiConfig(writes_in_flight=1, admin_in_flight=1))
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def hangs(scope, receive, send):
        begun.set()
        await may_end.wait()
        await Response()(scope, receive, send)

    reader = PriceReader(world.ladder, world.metrics.reads)
    world.app = RequestEdge(hangs, world.dependencies, PriceFastPath(world.dependencies, reader))
    async with world.client() as client:
        first = asyncio.create_task(client.post(path))
        await begun.wait()
        response = await client.post(path)
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["type"] == "urn:equilibrium:problem:busy"
        assert (await client.get(PRICE)).status_code == 200
        may_end.set()
        assert (await first).status_code == 200
