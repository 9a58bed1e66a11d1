"""What holds for every request, whatever endpoint it meets."""

from __future__ import annotations

import re

import pytest
import structlog
from structlog.testing import capture_logs

from pricing.api.app import ApiConfig
from pricing.api.middleware import BodyLimit, RequestEdge
from pricing.api.prices.fast_path import PriceFastPath
from pricing.api.prices.reader import PriceReader
from tests.support.api import World
from tests.support.zone_states import zone_state

PRICE = "/api/v1/zones/z1/price"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def edge_of(app):
    parts = World().dependencies
    reader = PriceReader(parts.ladder, parts.metrics.reads)
    return RequestEdge(app, parts, PriceFastPath(parts, reader))


async def request(world, method, path, **options):
    async with world.client() as client:
        return await client.request(method, path, **options)


@pytest.mark.parametrize("given", ["r-1", "A.b_c-9", "x" * 128])
async def test_request_id_that_is_sane_is_kept(given):
    response = await request(World(), "GET", "/nowhere", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == response.json()["request_id"] == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "two words", "a\tb", "é".encode()])
async def test_request_id_that_is_not_sane_is_replaced(given):
    headers = {} if given is None else {"X-Request-ID": given}
    response = await request(World(), "GET", "/nowhere", headers=headers)
    assert UUID7.fullmatch(response.headers["x-request-id"])
    assert response.json()["request_id"] == response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/api/v1/zones/", 404, "not-found"),
        ("GET", "/api/v1/zones/a/b/price", 404, "not-found"),
        ("DELETE", PRICE, 405, "method-not-allowed"),
        ("GET", "/api/v1/prices", 405, "method-not-allowed"),
        ("PUT", "/health", 405, "method-not-allowed"),
        ("BREW", PRICE, 405, "method-not-allowed"),
    ],
)
async def test_error_of_the_framework_is_a_problem_too(method, path, status, kind):
    response = await request(World(), method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["type"] == f"urn:equilibrium:problem:{kind}"
    assert (problem["status"], problem["instance"]) == (status, path)
    assert problem["title"]
    assert problem["detail"]
    assert response.headers["x-system-mode"] == "normal"


async def test_wrong_method_names_the_right_ones():
    assert (await request(World(), "POST", PRICE)).headers["allow"] == "GET, HEAD"
    assert (await request(World(), "GET", "/api/v1/prices")).headers["allow"] == "POST"


async def test_head_is_answered_like_get():
    world = World()
    world.cache.put(zone_state("z1"))
    head, get = [await request(world, method, PRICE) for method in ("HEAD", "GET")]
    assert head.status_code == 200
    assert head.headers["etag"] == get.headers["etag"]
    assert head.headers["content-length"] == get.headers["content-length"]


async def test_instance_of_an_odd_path_is_a_valid_reference():
    problem = (await request(World(), "GET", "/a%20b/%C3%A9")).json()
    assert problem["instance"] == "/a%20b/%C3%A9"


async def test_fault_in_an_endpoint_is_500_without_its_text():
    world = World()

    def broken(_lat, _lon):
        raise ZeroDivisionError("secret")

    world.dependencies.locator.locate = broken
    with capture_logs() as logs:
        response = await request(world, "GET", "/api/v1/price?lat=0&lon=0")
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["type"] == "urn:equilibrium:problem:internal-error"
    assert response.headers["x-request-id"] == response.json()["request_id"]
    broke = next(line for line in logs if line["event"] == "request broke")
    assert broke["log_level"] == "error"


LIMIT = 1_000


async def chunks(count, size):
    for _ in range(count):
        yield b" " * size


@pytest.mark.parametrize("path", ["/api/v1/prices", "/api/v1/events/ride-requests"])
@pytest.mark.parametrize("declared", [True, False])
async def test_body_above_the_limit_is_413(path, declared):
    world = World(ApiConfig(max_body_bytes=LIMIT))
    content = b" " * (LIMIT + 1) if declared else chunks(11, LIMIT // 10)
    headers = {"Content-Type": "application/json"}
    response = await request(world, "POST", path, content=content, headers=headers)
    assert response.status_code == 413
    assert response.json()["type"] == "urn:equilibrium:problem:body-too-large"
    assert str(LIMIT) in response.json()["detail"]


async def test_body_at_the_limit_is_read():
    world = World(ApiConfig(max_body_bytes=LIMIT))
    content = b'{"zone_ids": ["z1"]}'.ljust(LIMIT)
    response = await request(world, "POST", "/api/v1/prices", content=content)
    assert response.status_code == 200


async def test_body_of_two_megabytes_is_413_by_default():
    response = await request(World(), "POST", "/api/v1/prices", content=b"[" * 2_000_000)
    assert response.status_code == 413


async def test_requests_are_measured_by_route_template():
    world = World()
    await request(world, "GET", PRICE)
    await request(world, "GET", "/api/v1/zones/nowhere/price")
    await request(world, "BREW", "/nowhere")
    count = "http_request_duration_seconds_count"
    route = "/api/v1/zones/{zone_id}/price"
    assert world.metric(count, route=route, method="GET", status="200") == 1
    assert world.metric(count, route=route, method="GET", status="404") == 1
    assert world.metric(count, route="unmatched", method="OTHER", status="404") == 1


async def test_metrics_are_served_without_a_zone_in_them():
    world = World()
    await request(world, "GET", PRICE)
    response = await request(world, "GET", "/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert 'answer_source_total{source="default"} 1.0' in response.text
    assert "equilibrium_build_info" in response.text
    count = "http_request_duration_seconds_count"
    assert world.metric(count, route="/metrics", method="GET", status="200") == 1
    assert "z1" not in response.text


async def test_access_log_has_one_line_a_request_and_keeps_probes_quiet():
    world = World()
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as logs:
        await request(world, "GET", PRICE, headers={"X-Request-ID": "r-1"})
        await request(world, "GET", "/health/live/")
    price, probe = logs
    assert price.pop("duration_ms") >= 0
    assert price == {
        "event": "request answered",
        "log_level": "info",
        "method": "GET",
        "path": PRICE,
        "route": "/api/v1/zones/{zone_id}/price",
        "status": 200,
        "request_id": "r-1",
    }
    assert probe["log_level"] == "debug"
    assert structlog.contextvars.get_contextvars() == {}


async def test_access_log_can_be_switched_off():
    with capture_logs() as logs:
        await request(World(ApiConfig(access_log=False)), "GET", PRICE)
    assert logs == []


async def test_pages_of_other_origins_may_call_only_where_allowed():
    origin = {"Origin": "https://shop.example"}
    assert (
        "access-control-allow-origin"
        not in (await request(World(), "GET", PRICE, headers=origin)).headers
    )
    world = World(ApiConfig(cors_origins=("https://shop.example",)))
    for path in (PRICE, "/nowhere"):
        headers = (await request(world, "GET", path, headers=origin)).headers
        assert headers["access-control-allow-origin"] == "https://shop.example"


@pytest.mark.parametrize("wrong", [{"max_body_bytes": 0}, {"readiness_requires": ("mysql",)}])
def test_config_out_of_range_names_the_value(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ApiConfig(**wrong)


async def call(app, path, messages):
    """The messages that an ASGI app sends for a POST whose body comes as `messages`."""
    sent = []

    async def receive():
        return messages.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    return sent


async def test_client_who_goes_away_is_counted_apart_and_is_no_fault():
    world = World()
    with capture_logs() as logs:
        sent = await call(world.app, "/api/v1/prices", [{"type": "http.disconnect"}])
    assert sent == []
    assert "error" not in {line["log_level"] for line in logs}
    count = "http_request_duration_seconds_count"
    assert world.metric(count, route="/api/v1/prices", method="POST", status="499") == 1


async def test_answer_that_breaks_after_it_began_is_cut_short():
    async def breaks(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    edge = edge_of(breaks)
    with capture_logs(), pytest.raises(ZeroDivisionError):
        await call(edge, "/", [])


async def test_edge_lets_other_than_http_pass():
    seen = []

    async def app(scope, _receive, _send):
        seen.append(scope["type"])

    for edge in (edge_of(app), BodyLimit(app, LIMIT)):
        await edge({"type": "lifespan"}, None, None)
    assert seen == ["lifespan", "lifespan"]
