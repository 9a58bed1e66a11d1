from __future__ import annotations

import orjson
import pytest

from pricing.api.schemas.clients import TakenEvents
from pricing.errors import DependencyTimeout, DependencyUnavailable
from streaming.events.event_types import Event, rfc3339
from tests.support.api import INSIDE_Z1, NOW_MS, OUTSIDE, World

RIDES = "/api/v1/events/ride-requests"
DRIVERS = "/api/v1/events/driver-status"
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
def world():
    return World()


async def post(world, path, body, **headers):
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    async with world.client() as client:
        return await client.post(
            path, content=content, headers={"Content-Type": "application/json"} | headers
        )


async def test_ride_request_becomes_one_event_with_all_its_fields(world):
    body = {
        "request_id": "r1",
        "zone_id": "z10",
        "rider_id": "u1",
        "product": "xl",
        "occurred_at": rfc3339(NOW_MS - 1_000).replace("Z", "+00:00"),
    }
    response = await post(world, RIDES, body, traceparent=TRACEPARENT)
    assert response.status_code == 202
    ((topic, (event,)),) = world.publisher.batches
    assert response.json() == {"data": [{"id": event.id, "status": "sent"}]}
    assert topic == "ride-requests"
    assert event == Event(
        id=event.id,
        type="equilibrium.ride_request.v1",
        source="/equilibrium/api",
        time_ms=NOW_MS - 1_000,
        key="tyo",
        subject="z10",
        data={
            "request_id": "r1",
            "rider_id": "u1",
            "product": "xl",
            "city_id": "tyo",
            "zone_id": "z10",
            "occurred_at": rfc3339(NOW_MS - 1_000),
        },
        traceparent=TRACEPARENT,
    )


async def test_ride_request_without_id_and_time_gets_the_events_and_now(world):
    await post(world, RIDES, {"zone_id": "z1"})
    (event,) = world.publisher.events
    assert event.data == {
        "request_id": event.id,
        "city_id": "nyc",
        "zone_id": "z1",
        "occurred_at": rfc3339(NOW_MS),
    }
    assert (event.time_ms, event.traceparent) == (NOW_MS, None)


async def test_heartbeat_at_a_place_is_put_into_its_zone(world):
    response = await post(world, DRIVERS, {"driver_id": "d1", "available": False} | INSIDE_Z1)
    assert response.status_code == 202
    ((topic, (event,)),) = world.publisher.batches
    assert (topic, event.type) == ("driver-status", "equilibrium.driver_status.v1")
    assert event.data == {
        "driver_id": "d1",
        "available": False,
        "city_id": "nyc",
        "zone_id": "z1",
        "occurred_at": rfc3339(NOW_MS),
    }


async def test_array_is_published_at_once_in_the_order_given(world):
    world.publisher.status = "buffered"
    body = [{"zone_id": zone_id} for zone_id in ("z2", "z10", "z1")]
    response = await post(world, RIDES, body)
    ((_, events),) = world.publisher.batches
    assert [event.subject for event in events] == ["z2", "z10", "z1"]
    taken = TakenEvents.model_validate_json(response.content).data
    assert [(each.id, each.status) for each in taken] == [
        (event.id, "buffered") for event in events
    ]


async def test_array_of_500_is_taken_and_of_nothing_publishes_nothing(world):
    assert (await post(world, RIDES, [{"zone_id": "z1"}] * 500)).status_code == 202
    assert len(world.publisher.events) == 500
    assert (await post(world, RIDES, [])).json() == {"data": []}
    assert len(world.publisher.batches) == 1


LATE, AHEAD = rfc3339(NOW_MS - 3_600_001), rfc3339(NOW_MS + 5_001)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/zone_id"),
        ({"zone_id": "nowhere"}, "/zone_id"),
        ({"zone_id": 7}, "/zone_id"),
        ({"zone_id": ""}, "/zone_id"),
        ({"zone_id": "z1"} | INSIDE_Z1, "/zone_id"),
        ({"zone_id": "z1", "lat": 40.7}, "/zone_id"),
        ({"lat": 40.7}, "/lon"),
        ({"lon": -73.9}, "/lat"),
        (OUTSIDE, "/lat"),
        ({"lat": "40.7", "lon": -73.9}, "/lat"),
        ({"lat": True, "lon": -73.9}, "/lat"),
        ({"lat": 90.1, "lon": 0}, "/lat"),
        ({"lat": 0, "lon": 181}, "/lon"),
        (b'{"lat": NaN, "lon": 0}', "/lat"),
        (b'{"lat": 0, "lon": -Infinity}', "/lon"),
        (b'{"lat": 0, "lon": 1e999}', "/lon"),
        ({"zone_id": "z1", "zone": "z1"}, "/zone"),
        ({"zone_id": "z1", "a/b~c": 1}, "/a~1b~0c"),
        ({"zone_id": "z1", "request_id": "r" * 65}, "/request_id"),
        ({"zone_id": "z1", "request_id": "r\u0000"}, "/request_id"),
        ({"zone_id": "z1", "rider_id": ""}, "/rider_id"),
        ({"zone_id": "z1", "occurred_at": LATE}, "/occurred_at"),
        ({"zone_id": "z1", "occurred_at": AHEAD}, "/occurred_at"),
        ({"zone_id": "z1", "occurred_at": "1709000000"}, "/occurred_at"),
        ({"zone_id": "z1", "occurred_at": 1709000000}, "/occurred_at"),
        ({"zone_id": "z1", "occurred_at": "2024-02-27T02:13:20"}, "/occurred_at"),
        ({"zone_id": "z1", "occurred_at": "2024-02-30T02:13:20Z"}, "/occurred_at"),
        (b"null", ""),
        (b"7", ""),
        ([{"zone_id": "z1"}] * 501, ""),
        ([{"zone_id": "z1"}, {"zone_id": "nowhere"}], "/1/zone_id"),
        ([{"zone_id": "z1"}, {"lat": 1}], "/1/lon"),
        ([{"zone_id": "z1"}, 7], "/1"),
    ],
)
async def test_wrong_ride_request_is_422_with_a_pointer_and_publishes_nothing(world, body, pointer):
    response = await post(world, RIDES, body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["errors"][0]["pointer"] == pointer
    assert world.publisher.batches == []


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"driver_id": None}, "/driver_id"),
        ({"available": None}, "/available"),
        ({"available": "yes"}, "/available"),
        ({"available": 1}, "/available"),
        ({"rider_id": "u1"}, "/rider_id"),
    ],
)
async def test_wrong_heartbeat_is_422_with_a_pointer(world, changes, pointer):
    body = {"driver_id": "d1", "available": True, "zone_id": "z1"} | changes
    response = await post(world, DRIVERS, body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert world.publisher.batches == []


async def test_bounds_of_time_are_inside(world):
    for at_ms in (NOW_MS - 3_600_000, NOW_MS + 5_000):
        body = {"zone_id": "z1", "occurred_at": rfc3339(at_ms)}
        assert (await post(world, RIDES, body)).status_code == 202


async def test_limit_of_an_array_is_named(world):
    problem = (await post(world, RIDES, [{"zone_id": "z1"}] * 501)).json()
    assert "500" in problem["detail"]


async def test_many_faults_are_counted_and_the_first_twenty_listed(world):
    problem = (await post(world, RIDES, [{"zone_id": "nowhere"}] * 30)).json()
    assert [error["pointer"] for error in problem["errors"]] == [
        f"/{index}/zone_id" for index in range(20)
    ]
    assert "30 faults" in problem["detail"]


async def test_last_of_duplicate_fields_counts(world):
    assert (await post(world, RIDES, b'{"zone_id":"x","zone_id":"z2"}')).status_code == 202
    assert world.publisher.events[0].subject == "z2"


@pytest.mark.parametrize(
    "text", [b"", b"{", b"zone_id=z1", b'{"zone_id":"z1"} x', b"\xff", b"[" * 5_000]
)
async def test_body_that_is_no_json_is_400(world, text):
    response = await post(world, RIDES, text)
    assert response.status_code == 400
    assert response.json()["type"] == "urn:equilibrium:problem:invalid-json"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/xml"},
        {"Content-Encoding": "gzip"},
    ],
)
async def test_other_content_is_415(world, headers):
    response = await post(world, RIDES, {"zone_id": "z1"}, **headers)
    assert response.status_code == 415
    assert world.publisher.batches == []


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "application/cloudevents+json"]
)
async def test_kinds_of_json_are_taken(world, media_type):
    response = await post(world, RIDES, {"zone_id": "z1"}, **{"Content-Type": media_type})
    assert response.status_code == 202


@pytest.mark.parametrize("kind", [DependencyUnavailable, DependencyTimeout])
async def test_publisher_that_fails_is_503_with_retry_after(world, kind):
    world.publisher.failure = kind("kafka", "secret-host refused")
    response = await post(world, RIDES, {"zone_id": "z1"})
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert response.json()["type"] == "urn:equilibrium:problem:events-not-taken"
    assert "secret-host" not in response.text
    labels = {"topic": "ride-requests", "status": "failed"}
    assert world.metric("events_published_total", **labels) == 1


@pytest.mark.parametrize("traceparent", ["nonsense", TRACEPARENT.replace("4bf9", "4BF9")])
async def test_traceparent_that_is_invalid_is_left_out(world, traceparent):
    await post(world, RIDES, {"zone_id": "z1"}, traceparent=traceparent)
    assert world.publisher.events[0].traceparent is None


async def test_same_key_and_body_returns_the_same_ids_without_a_second_event(world):
    body = {"zone_id": "z1", "request_id": "r1"}
    first = await post(world, RIDES, body, **{"Idempotency-Key": "k1"})
    world.now_ms += 7_200_000
    again = dict(reversed(body.items()))
    second = await post(world, RIDES, again, **{"Idempotency-Key": "k1"})
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert len(world.publisher.events) == 1


async def test_same_key_with_another_body_is_409(world):
    await post(world, RIDES, {"zone_id": "z1"}, **{"Idempotency-Key": "k1"})
    response = await post(world, RIDES, {"zone_id": "z2"}, **{"Idempotency-Key": "k1"})
    assert response.status_code == 409
    assert len(world.publisher.events) == 1


async def test_key_of_one_address_means_nothing_at_another(world):
    await post(world, RIDES, {"zone_id": "z1"}, **{"Idempotency-Key": "k1"})
    body = {"driver_id": "d1", "available": True, "zone_id": "z1"}
    assert (await post(world, DRIVERS, body, **{"Idempotency-Key": "k1"})).status_code == 202
    assert len(world.publisher.events) == 2


async def test_refusal_is_not_remembered_by_its_key(world):
    key = {"Idempotency-Key": "k1"}
    world.publisher.failure = DependencyUnavailable("kafka", "down")
    assert (await post(world, RIDES, {"zone_id": "z1"}, **key)).status_code == 503
    assert (await post(world, RIDES, {"zone_id": "nowhere"}, **key)).status_code == 422
    world.publisher.failure = None
    assert (await post(world, RIDES, {"zone_id": "z1"}, **key)).status_code == 202


@pytest.mark.parametrize("key", ["", "k" * 256, "two words"])
async def test_key_that_cannot_be_used_is_400(world, key):
    response = await post(world, RIDES, {"zone_id": "z1"}, **{"Idempotency-Key": key})
    assert response.status_code == 400
    assert response.json()["type"] == "urn:equilibrium:problem:invalid-idempotency-key"
    assert world.publisher.batches == []
