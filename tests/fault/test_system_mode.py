"""The system mode of real processes while their dependencies are hurt."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import Any

import asyncpg
import pytest

from pricing.drill.recovery import Recovery
from pricing.drill.scenario import LATE_S
from pricing.writing.topics import create_topics
from tests.support.processes import environment, running
from tests.support.read_path import ZONES, Api, api_process, ticking
from tests.support.servers import through
from tests.support.waiting import WITHIN_S

pytestmark = pytest.mark.timeout(300)

SCALE = float(os.environ.get("EQUILIBRIUM_TEST_MODE_SCALE", "10"))
"""How much faster than in earnest the flapping goes: 1 is 20 s up and 5 s down for 3 min."""
DWELL_S = 1.0
BACK_DWELL_S = float(os.environ.get("EQUILIBRIUM_TEST_MODE_DWELL_S", "3"))
"""How long a level holds on the way back; 60 in earnest."""
SHIPPED_BREAKERS = {
    "EQUILIBRIUM_BREAKER_REDIS": "redis",
    "EQUILIBRIUM_BREAKER_DATABASE": "database",
}
LEVEL = "/admin/reliability/degradation/set-level"
FLOOR = {"kind": "floor", "level": "moderate", "reason": "maintenance of the cache"}


@pytest.fixture
def proxies(redis_proxy, postgres_proxy, kafka_proxy):
    return {"redis": redis_proxy, "database": postgres_proxy, "kafka": kafka_proxy}


@pytest.fixture
def settings(proxies, redis_url, database_url, proxied_kafka_config, tmp_path):
    return environment(
        database_url=through(database_url, proxies["database"]),
        redis_url=through(redis_url, proxies["redis"]),
        kafka=proxied_kafka_config,
        state_dir=tmp_path / "state",
        EQUILIBRIUM_MODE_DOWN_DWELL_S=str(DWELL_S),
    )


@pytest.fixture
async def ticks(redis_url, database_url, kafka_config):
    await create_topics(kafka_config, timeout_s=30)
    async with ticking(redis_url, database_url):
        yield


@pytest.fixture
async def api(settings, ticks, tmp_path):
    async with api_process(settings, tmp_path) as api:
        await api.settled()
        yield api


async def mode_of(api: Api, *, fleet: bool = False) -> dict[str, Any]:
    query = "?fleet=true" if fleet else ""
    data: dict[str, Any] = (await api.get(f"/api/v1/system/mode{query}")).json()["data"]
    return data


async def until_mode(api: Api, *modes: str, by: set[str]) -> tuple[dict[str, Any], float]:
    """The mode once it is one of these for one of these inputs, and how long that took.

    A busy machine may degrade it before, by the lag of the loop, which is right.
    """
    began_s = time.monotonic()
    while True:
        data = await mode_of(api)
        taken_s = time.monotonic() - began_s
        if data["mode"] in modes and by & {cause["input"] for cause in data["causes"]}:
            return data, taken_s
        assert taken_s < WITHIN_S, data
        await asyncio.sleep(0.05)


async def level_by(api: Api, name: str) -> str | None:
    """The level that an input asks for; None while it asks for none."""
    causes = (await mode_of(api))["causes"]
    return next((cause["level"] for cause in causes if cause["input"] == name), None)


async def until_drained(api: Api, within_s: float = 60) -> None:
    """Once nothing waits for Kafka: the change to normal is an event itself."""
    end_s = time.monotonic() + within_s
    while events := (await mode_of(api))["backlog"]["events"]:
        assert time.monotonic() < end_s, f"{events} events wait"
        await asyncio.sleep(0.05)


async def until_well(api: Api, within_s: float) -> float:
    began_s = time.monotonic()
    await api.settled(within_s)
    return time.monotonic() - began_s


@pytest.mark.parametrize(
    ("dead", "modes"),
    [
        pytest.param(("redis",), ("degraded",), id="redis"),
        pytest.param(("database",), ("degraded",), id="database", marks=pytest.mark.soak),
        pytest.param(("kafka",), ("degraded",), id="kafka", marks=pytest.mark.soak),
        pytest.param(("redis", "database"), ("emergency",), id="stores", marks=pytest.mark.soak),
        pytest.param(("redis", "database", "kafka"), ("emergency",), id="all"),
    ],
)
async def test_dead_dependencies_set_the_mode_and_recover(
    settings, ticks, proxies, dead, modes, tmp_path
):
    slow = {**settings, "EQUILIBRIUM_MODE_DOWN_DWELL_S": str(BACK_DWELL_S), **SHIPPED_BREAKERS}
    async with api_process(slow, tmp_path) as api:
        await api.settled(60 + BACK_DWELL_S)
        for name in dead:
            await proxies[name].refuse()
        async with api.reading() as seen:
            await ride(api)
            _, detected_s = await until_mode(api, *modes, by=set(dead))
        assert not seen.failures, seen.failures[:3]
        assert seen.sources
        assert not seen.sources["default"], seen
        for name in dead:
            await proxies[name].heal()
        async with api.reading(1) as seen:
            back = await recovered(api, within_s=150 + 4 * BACK_DWELL_S)
        assert not seen.failures, seen.failures[:3]
    print(f"\n{dead}: detected after {detected_s:.1f} s; {told(back)}")  # noqa: T201
    assert back.latest_s <= LATE_S, back.steps


async def ride(api: Api) -> None:
    async with api.client() as client:
        answer = await client.post("/api/v1/events/ride-requests", json={"zone_id": "161"})
    assert answer.status_code == 202, answer.text


async def recovered(api: Api, within_s: float) -> Recovery:
    """The way back to normal, looked at until its end."""
    back, began_s = Recovery(BACK_DWELL_S), time.monotonic()
    while True:
        data, after_s = await mode_of(api), time.monotonic() - began_s
        back.see(after_s, data)
        if data["mode"] == "normal" and not data["recovering"] and back.loaded_s is not None:
            return back
        assert after_s < within_s, data
        await asyncio.sleep(0.1)


def told(back: Recovery) -> str:
    """The phases of a recovery, its levels held against the dwell."""
    levels = ", ".join(
        f"{level.word} {1 + late_s / BACK_DWELL_S:.2f}" for level, late_s in back.steps
    )
    return (
        f"answers {back.answering_s:.1f} s after its return, whole load after "
        f"{back.loaded_s:.1f} s; of a dwell of {BACK_DWELL_S:g} s each level took: {levels}"
    )


async def test_dead_kafka_shows_and_the_backlog_drains(api, proxies):
    await proxies["kafka"].refuse()
    async with api.client() as client:
        ride = {"zone_id": "161"}
        taken = await client.post("/api/v1/events/ride-requests", json=ride)
        assert taken.json()["data"][0]["status"] == "buffered"
        data, _ = await until_mode(api, "degraded", by={"kafka"})
        assert data["backlog"]["events"] >= 1
        await proxies["kafka"].heal()
        await until_well(api, within_s=60)
        await until_drained(api)


async def test_filling_spool_degrades_and_drains(api, settings, proxies, tmp_path):
    """To 75 % of the quota: degraded; drained after Kafka is back, and normal."""
    small = {
        **settings,
        "EQUILIBRIUM_SPOOL_QUOTA_BYTES": str(48 * 1024 * 1024),
        "EQUILIBRIUM_SPOOL_FREE_FLOOR_BYTES": "0",
        "EQUILIBRIUM_STATE_DIR": str(tmp_path / "other"),
        "EQUILIBRIUM_INSTANCE": "small",
    }
    async with api_process(small, tmp_path) as other:
        await other.settled()
        await proxies["kafka"].refuse()
        async with other.client() as client:
            batch = [{"zone_id": "161", "rider_id": "r" * 60, "request_id": "x" * 60}] * 500
            while (await mode_of(other))["backlog"]["percent"] < 75:
                answer = await client.post("/api/v1/events/ride-requests", json=batch, timeout=30)
                assert answer.status_code == 202, answer.text
        async with asyncio.timeout(WITHIN_S):
            while (level := await level_by(other, "spool_percent")) is None:
                await asyncio.sleep(0.05)
        # The mode itself may be worse: a machine that does other work too is slow besides.
        assert level in ("minor", "moderate")
        assert (await mode_of(other))["mode"] != "normal"
        await proxies["kafka"].heal()
        await until_well(other, within_s=120)
        await until_drained(other)


@pytest.mark.soak
async def test_flapping_redis_changes_mode_four_times_at_most(settings, ticks, proxies, tmp_path):
    flapping = {**settings, "EQUILIBRIUM_MODE_DOWN_DWELL_S": str(60 / SCALE)}
    async with api_process(flapping, tmp_path) as api:
        await api.settled()
        before = await api.metric("mode_transitions_total")
        load = asyncio.create_task(api.read_for(180 / SCALE, readers=2))
        while not load.done():
            await proxies["redis"].refuse()
            await asyncio.wait([load], timeout=5 / SCALE)
            await proxies["redis"].heal()
            await asyncio.wait([load], timeout=20 / SCALE)
        assert not (await load).failures
        assert await api.metric("mode_transitions_total") - before <= 4


async def test_override_survives_kill_9_and_ends_by_itself(settings, ticks, proxies, tmp_path):
    for proxy in proxies.values():
        await proxy.refuse()  # everything is dead meanwhile
    async with api_process(settings, tmp_path) as first:
        async with first.client() as client:
            # The next process has to find it in force: by the time that this one took to start.
            expires_in_s = 6 + round(4 * first.started_s)
            wish = {**FLOOR, "level": "critical", "expires_in_s": expires_in_s}
            made = await client.post(LEVEL, json=wish)
        assert (made.status_code, made.json()["durable"]) == (200, True)
        await first.process.kill()
    for proxy in proxies.values():
        await proxy.heal()
    async with api_process(settings, tmp_path) as second:
        data = await mode_of(second)
        assert (data["level"], data["override"]["reason"]) == ("critical", FLOOR["reason"])
        await until_well(second, within_s=60)
        assert (await mode_of(second))["override"] is None


async def test_critical_level_keeps_slow_redis_for_refresh(settings, ticks, proxies, tmp_path):
    """25 ms suit a reader that waits, not the work that keeps every zone warm: it would take a
    healthy Redis for dead, open its breaker, and with it keep the mode from finding back.
    """
    # Wide of what a busy machine takes; the level still cuts a reader's deadline to 25 ms.
    patient = {
        "EQUILIBRIUM_REDIS_TIMEOUT_MS": "1000",
        "EQUILIBRIUM_BREAKER_REDIS": "redis,slow_call_duration_s=1",
    }
    async with api_process({**settings, **patient}, tmp_path) as api:
        await api.settled()
        async with api.client() as client:
            answer = await client.post(LEVEL, json={**FLOOR, "level": "critical"})
            assert answer.status_code == 200
        proxies["redis"].latency_s = 0.015  # each way
        of_redis, end_s = 'zone_refresh_states_total{source="redis"}', time.monotonic() + 30
        before = await api.metric(of_redis)
        while await api.metric(of_redis) < before + 10 * len(ZONES):
            data = await mode_of(api)
            assert data["dependencies"]["redis"]["breaker"] == "CLOSED", data["dependencies"]
            assert time.monotonic() < end_s, data["dependencies"]
            await asyncio.sleep(0.2)


async def test_instances_that_disagree_are_seen_in_the_fleet(api, settings, tmp_path):
    other_settings = {
        **settings,
        "EQUILIBRIUM_STATE_DIR": str(tmp_path / "other"),
        "EQUILIBRIUM_INSTANCE": "second",
    }
    async with api_process(other_settings, tmp_path) as other:
        await other.settled()
        async with other.client() as client:
            floor = {**FLOOR, "level": "critical"}
            assert (await client.post(LEVEL, json=floor)).status_code == 200
        began_s = time.monotonic()
        while True:
            told = (await mode_of(api, fleet=True))["fleet"]["instances"]
            modes = {one["instance"]: one["mode"] for one in told}
            if modes.get("second") == "emergency":
                break
            assert time.monotonic() - began_s < 30, told
            await asyncio.sleep(0.2)
        # A busy machine may degrade the first one by itself; an emergency it has no cause for.
        assert sorted(mode == "emergency" for mode in modes.values()) == [False, True]


async def test_acts_and_changes_reach_revived_postgres(
    api, settings, proxies, database_url, kafka_config, tmp_path
):
    await proxies["database"].refuse()
    processor = {**settings, "EQUILIBRIUM_STATE_DIR": str(tmp_path / "processor")}
    async with running("processor", settings=processor, directory=tmp_path):
        async with api.client() as client:
            assert (await client.post(LEVEL, json=FLOOR)).status_code == 200
            assert (await client.get("/admin/audit")).json()["source"] == "memory"
        await proxies["database"].heal()
        rows = await _rows(database_url, "SELECT actor, action, after FROM audit_log")
        assert [(row["actor"], row["action"]) for row in rows] == [("anyone", "mode.override.set")]
        assert json.loads(rows[0]["after"])["level"] == "moderate"
        changes = await _rows(
            database_url, "SELECT * FROM mode_events WHERE new_level = 'moderate'"
        )
        # A busy machine's own lag may have computed the same level too.
        assert "mode" in {row["kind"] for row in changes}
        while (await api.breaker("database")) != "CLOSED":
            await asyncio.sleep(0.1)
        async with api.client() as client:
            page = (await client.get("/admin/audit")).json()
            history = (await client.get("/admin/reliability/mode/history?limit=1")).json()
        assert (page["source"], page["data"][0]["action"]) == ("database", "mode.override.set")
        assert history["next"] or len(history["data"]) == 1


async def _rows(url: str, query: str, within_s: float = 60) -> list[asyncpg.Record]:
    """The rows once there are some."""
    connection = await asyncpg.connect(url)
    try:
        end_s = time.monotonic() + within_s
        while not (rows := await connection.fetch(query)):
            assert time.monotonic() < end_s, query
            await asyncio.sleep(0.2)
        return rows
    finally:
        await connection.close()
