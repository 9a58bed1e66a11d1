"""The system mode and the operators' endpoints, over a mode that the test moves."""

from __future__ import annotations

import asyncio
import json

import pytest

from fallback.breaker import State
from fallback.mode import Level
from pricing.errors import DependencyUnavailable
from tests.support.api import World

LEVEL = "/admin/reliability/degradation/set-level"
FLOOR = {"kind": "floor", "level": "moderate", "reason": "maintenance of the cache"}


@pytest.fixture
def world() -> World:
    return World()


def tick(world: World, times: int = 1) -> None:
    for _ in range(times):
        world.shown.clocks.advance(1.0)
        world.stepped.orchestrator.step()


async def test_mode_is_told_with_every_input(world):
    world.shown.show("redis", Level.MODERATE)
    tick(world)
    async with world.client() as client:
        response = await client.get("/api/v1/system/mode")
    data = response.json()["data"]
    assert (data["mode"], data["level"], data["override"]) == ("degraded", "moderate", None)
    assert [cause["input"] for cause in data["causes"]] == ["redis"]
    assert set(data["causes"][0]) == {"input", "value", "threshold", "level"}
    assert set(data["inputs"]) >= {"redis", "database", "kafka", "read_p95_ms", "zone_age_s"}
    assert data["inputs"]["redis"]["holds"] == "moderate"
    assert set(data["backlog"]) >= {"events", "bytes", "oldest_age_s"}
    assert set(data["dependencies"]["redis"]) >= {"breaker", "last_success_age_s"}
    assert response.headers["cache-control"] == "no-store"


async def test_fleet_holds_this_instance_as_it_is_now(world):
    async with world.client() as client:
        plain = (await client.get("/api/v1/system/mode")).json()["data"]
        fleet = (await client.get("/api/v1/system/mode?fleet=true")).json()["data"]["fleet"]
        odd = await client.get("/api/v1/system/mode?fleet=maybe")
    assert "fleet" not in plain
    assert [one["instance"] for one in fleet["instances"]] == ["api-1"]
    assert odd.status_code == 422


async def test_recovering_is_told_once_the_inputs_are_better(world):
    world.shown.show("redis", Level.MODERATE)
    tick(world)
    world.shown.readings.clear()
    tick(world)
    body = world.system.as_json()
    assert (body["level"], body["causes"], body["recovering"]) == ("moderate", [], True)


async def test_override_by_body_holds_until_it_is_ended(world):
    async with world.client() as client:
        made = await client.post(LEVEL, json={**FLOOR, "expires_in_s": 60})
        assert made.status_code == 200, made.text
        assert (made.json()["mode"], made.json()["level"]) == ("degraded", "moderate")
        data = (await client.get("/api/v1/system/mode")).json()["data"]
        assert data["override"]["reason"] == FLOOR["reason"]
        assert data["override"]["actor"] == "anyone"
        assert (data["level"], data["computed_level"]) == ("moderate", "normal")
        ended = await client.delete(LEVEL)
    assert (ended.status_code, ended.json()["level"]) == (200, "normal")
    assert world.system.override is None


async def test_override_by_query_is_a_floor_of_half_an_hour(world):
    async with world.client() as client:
        made = await client.post(f"{LEVEL}?level=moderate&reason=maintenance")
    assert made.status_code == 200, made.text
    assert made.json()["data"]["kind"] == "floor"
    assert made.json()["data"]["remaining_s"] == 1_800


@pytest.mark.parametrize(
    ("query", "body", "pointer"),
    [
        ("", {**FLOOR, "reason": "short"}, "/reason"),
        ("", {**FLOOR, "level": "worst"}, "/level"),
        ("", {**FLOOR, "expires_in_s": 14_401}, "/expires_in_s"),
        ("", {**FLOOR, "kind": "wall"}, "/kind"),
        ("", {**FLOOR, "colour": "red"}, "/colour"),
        ("?level=moderate", None, "/reason"),
        ("?level=moderate&reason=maintenance", FLOOR, "/level"),
        ("?level=bad&reason=maintenance", None, "/level"),
    ],
)
async def test_wrong_override_is_refused_with_a_pointer(world, query, body, pointer):
    async with world.client() as client:
        sent = {} if body is None else {"json": body}
        response = await client.post(LEVEL + query, **sent)
    assert response.status_code == 422, response.text
    assert response.json()["errors"][0]["pointer"] == pointer
    assert world.system.override is None


async def test_level_below_the_computed_one_needs_force(world):
    world.shown.show("redis", Level.SEVERE)
    tick(world)
    pin = {"kind": "pin", "level": "normal", "reason": "the probe is wrong"}
    async with world.client() as client:
        refused = await client.post(LEVEL, json={**pin, "expires_in_s": 600})
        long = await client.post(LEVEL, json={**pin, "expires_in_s": 901, "force": True})
        forced = await client.post(LEVEL, json={**pin, "expires_in_s": 600, "force": True})
    assert (refused.status_code, long.status_code, forced.status_code) == (409, 422, 200)
    assert refused.json()["type"].endswith(":force-needed")
    assert (forced.json()["level"], forced.json()["data"]["below_computed"]) == ("normal", True)


async def test_breakers_are_listed_forced_open_and_reset(world):
    breakers = "/admin/reliability/circuit-breakers"
    body = {"reason": "redis is being moved", "expires_in_s": 60}
    async with world.client() as client:
        listed = (await client.get(breakers)).json()["data"]
        forced = await client.post(f"{breakers}/redis/force-open", json=body)
        assert forced.json()["data"]["state"] == "FORCED_OPEN"
        assert world.breakers["redis"].state is State.FORCED_OPEN
        reset = await client.post(f"{breakers}/redis/reset")
        unknown = await client.post(f"{breakers}/nothing/reset")
        short = await client.post(f"{breakers}/redis/force-open", json={"reason": "x"})
    assert {one["service"] for one in listed} == {"redis", "database", "kafka"}
    assert reset.json()["data"]["state"] == "CLOSED"
    assert (unknown.status_code, short.status_code) == (404, 422)


async def test_every_breaker_is_reset_at_the_seeds_address(world):
    world.breakers["redis"].force_open(for_s=None)
    async with world.client() as client:
        response = await client.post("/api/admin/reset-circuit-breakers")
    assert {one["state"] for one in response.json()["data"]} == {"CLOSED"}


async def test_every_act_is_kept_in_the_audit(world):
    async with world.client() as client:
        await client.post(LEVEL, json=FLOOR)
        await client.delete(LEVEL)
        await client.delete(LEVEL)
        await client.post("/admin/reliability/circuit-breakers/redis/reset")
        world.operations.failure = DependencyUnavailable("database", "refused")
        listed = (await client.get("/admin/audit?limit=2")).json()
    assert [entry["action"] for entry in world.audit.recent] == [
        "breaker.reset",
        "mode.override.end",
        "mode.override.set",
    ]
    assert (len(listed["data"]), listed["source"]) == (2, "memory")
    published = [batch[0] for topic, batch in world.publisher.batches if topic == "audit"]
    assert published[0].data["action"] == "mode.override.set"
    assert published[1].data["before"]["level"] == "moderate"


async def test_act_holds_although_the_audit_cannot_be_kept(world):
    world.publisher.failure = DependencyUnavailable("spool", "gone")
    async with world.client() as client:
        response = await client.post(LEVEL, json=FLOOR)
    assert (response.status_code, response.json()["level"]) == (200, "moderate")


async def test_history_is_told_from_memory_without_a_database(world):
    world.operations.failure = DependencyUnavailable("database", "refused")
    world.shown.show("redis", Level.MODERATE)
    tick(world)
    async with world.client() as client:
        page = (await client.get("/admin/reliability/mode/history")).json()
        bad = await client.get("/admin/reliability/mode/history?cursor=nonsense")
    assert [(one["from"], one["to"]) for one in page["data"]] == [("normal", "moderate")]
    assert page["source"] == "memory"
    assert bad.status_code == 422


REPORT = "/admin/reliability/reports/reliability"


async def test_report_counts_answers_and_outages(world):
    world.shown.show("redis", Level.MINOR)
    tick(world)
    world.shown.readings.clear()
    tick(world, 60)
    async with world.client() as client:
        await client.get("/api/v1/zones/z1/price")
        data = (await client.get(REPORT)).json()["data"]
    assert (data["availability"], data["answers"]["default"]) == (1.0, 1)
    assert (data["outages"], data["mode_changes"], data["mean_time_to_recover_s"]) == (1, 2, 60.0)
    assert (data["window_s"], data["covered_s"], data["at_this_level_for_s"]) == (86_400, 61, 0)


async def test_report_looks_back_as_far_as_it_is_asked(world):
    async with world.client() as client:
        await client.get("/api/v1/zones/z1/price")
        tick(world, 300)
        await client.get("/api/v1/zones/z1/price")
        short = (await client.get(f"{REPORT}?window=60")).json()["data"]
        long = (await client.get(f"{REPORT}?window=3600")).json()["data"]
        bad = await client.get(f"{REPORT}?window=59")
    assert (sum(short["answers"].values()), sum(long["answers"].values())) == (1, 2)
    assert (short["covered_s"], long["covered_s"]) == (60, 300)
    assert bad.status_code == 422


async def test_report_tells_errors_by_service_and_by_kind_of_request(world):
    world.cache.failure = DependencyUnavailable("redis", "refused")
    world.publisher.failure = DependencyUnavailable("spool", "gone")
    ride = {"zone_id": "z1"}
    async with world.client() as client:
        await client.get("/api/v1/zones/z1/price")
        assert (await client.post("/api/v1/events/ride-requests", json=ride)).status_code == 503
        data = (await client.get(REPORT)).json()["data"]
    assert data["services"]["redis"]["error_rate"] == 1.0
    assert data["services"]["database"] == {
        "state": "CLOSED",
        "calls": 1,
        "failures": 0,
        "rejected": 0,
        "error_rate": 0.0,
    }
    assert data["operations"]["events"] == {"requests": 1, "failed": 1, "error_rate": 1.0}
    assert data["operations"]["prices"] == {"requests": 1, "failed": 0, "error_rate": 0.0}


class Stream:
    """Follows `/api/v1/system/stream`; a message counts once it is taken in."""

    def __init__(self, world: World) -> None:
        self.sent: asyncio.Queue[str] = asyncio.Queue()
        self.may_send = asyncio.Event()
        self.may_send.set()
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/api/v1/system/stream",
            "query_string": b"",
            "headers": [],
            "http_version": "1.1",
            "scheme": "http",
            "server": ("api", 80),
            "client": ("api", 1),
            "root_path": "",
        }
        self.task = asyncio.create_task(world.app(scope, self._receive, self._send))

    async def _receive(self):
        await asyncio.Event().wait()

    async def _send(self, message):
        await self.may_send.wait()
        if message["type"] == "http.response.body" and message["body"]:
            self.sent.put_nowait(message["body"].decode())

    async def next(self) -> tuple[str, dict]:
        """The next event: its name and data."""
        text = await asyncio.wait_for(self.sent.get(), 5)
        head, _, data = text.partition("\ndata: ")
        return head.removeprefix("event: "), json.loads(data)


@pytest.fixture
async def stream(world):
    stream = Stream(world)
    yield stream
    world.dependencies.drain.begin()
    await asyncio.wait_for(stream.task, 5)


async def test_stream_begins_with_the_mode_and_tells_each_change(world, stream):
    name, body = await stream.next()
    assert (name, body["level"]) == ("mode", "normal")
    world.shown.show("redis", Level.MODERATE)
    tick(world)
    name, body = await stream.next()
    assert (name, body["level"]) == ("mode", "moderate")


async def test_stream_tells_of_an_operator_who_changes_no_level(world, stream):
    await stream.next()
    async with world.client() as client:
        await client.post(LEVEL, json={**FLOOR, "level": "normal"})
        _, body = await stream.next()
        assert (body["level"], body["override"]["reason"]) == ("normal", FLOOR["reason"])
        await client.delete(LEVEL)
    assert (await stream.next())[1]["override"] is None


async def test_client_that_cannot_keep_up_is_told_and_closed(world):
    stream = Stream(world)
    await stream.next()
    stream.may_send.clear()
    async with world.client() as client:
        for _ in range(10):
            await client.post(LEVEL, json=FLOOR)
            await client.delete(LEVEL)
    stream.may_send.set()
    await asyncio.wait_for(stream.task, 5)
    names = [(await stream.next())[0] for _ in range(stream.sent.qsize())]
    assert names[-1] == "lagged"
    assert len(names) <= 2


async def test_stream_tells_one_change_once(world, stream):
    await stream.next()
    async with world.client() as client:
        await client.post(LEVEL, json=FLOOR)
        assert (await stream.next())[1]["level"] == "moderate"
        await client.delete(LEVEL)
    assert (await stream.next())[1]["level"] == "normal"
