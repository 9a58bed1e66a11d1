"""Two operators who steer at once, and one whose request arrives twice."""

from __future__ import annotations

import pytest

from tests.support.api import World

LEVEL = "/admin/reliability/degradation/set-level"
FLOOR = {"kind": "floor", "level": "moderate", "reason": "maintenance of the cache"}
PIN = {"kind": "pin", "level": "severe", "reason": "both stores are being moved"}


@pytest.fixture
def world() -> World:
    return World()


def match(tag: str) -> dict[str, str]:
    return {"If-Match": tag}


async def test_version_is_told_by_answer_and_mode(world):
    async with world.client() as client:
        made = await client.post(LEVEL, json=FLOOR)
        told = (await client.get("/api/v1/system/mode")).json()["data"]["override"]["version"]
        ended = await client.delete(LEVEL)
    assert made.headers["etag"] == f'"{told}"' == f'"{made.json()["data"]["version"]}"'
    assert ended.headers["etag"] == '"none"'


async def test_override_that_changed_meanwhile_is_not_undone_unseen(world):
    async with world.client() as client:
        seen = (await client.post(LEVEL, json=FLOOR, headers=match('"none"'))).headers["etag"]
        world.shown.clocks.advance(1.0)
        assert (await client.post(LEVEL, json=PIN)).status_code == 200
        for refused in (
            await client.post(LEVEL, json=FLOOR, headers=match(seen)),
            await client.post(LEVEL, json=FLOOR, headers=match('"none"')),
            await client.delete(LEVEL, headers=match(seen)),
        ):
            assert refused.status_code == 412, refused.text
            assert refused.json()["override"]["reason"] == PIN["reason"]
        now = refused.headers["etag"]
        ended = await client.delete(LEVEL, headers=match(f'"other", {now}'))
    assert ended.status_code == 200
    assert world.system.override is None


async def test_star_matches_any_override_and_not_its_absence(world):
    async with world.client() as client:
        none = await client.delete(LEVEL, headers=match("*"))
        await client.post(LEVEL, json=FLOOR)
        some = await client.delete(LEVEL, headers=match("*"))
    assert (none.status_code, some.status_code) == (412, 200)


async def test_request_that_is_sent_again_changes_nothing(world):
    headers = {"Idempotency-Key": "k1", "If-Match": '"none"'}
    async with world.client() as client:
        first = await client.post(LEVEL, json=FLOOR, headers=headers)
        world.shown.clocks.advance(60.0)
        again = await client.post(LEVEL, json=FLOOR, headers=headers)
        other = await client.post(LEVEL, json=PIN, headers=headers)
    assert (again.status_code, again.content) == (200, first.content)
    assert world.stepped.orchestrator.remaining_s() == 1_740
    assert [entry["action"] for entry in world.audit.recent] == ["mode.override.set"]
    assert other.json()["type"].endswith(":idempotency-key-reused")


async def test_refusal_is_not_remembered(world):
    headers = {"Idempotency-Key": "k1", "If-Match": '"gone"'}
    async with world.client() as client:
        assert (await client.post(LEVEL, json=FLOOR, headers=headers)).status_code == 412
        headers["If-Match"] = '"none"'
        assert (await client.post(LEVEL, json=FLOOR, headers=headers)).status_code == 200
        bad = await client.post(LEVEL, json=FLOOR, headers={"Idempotency-Key": "a b"})
    assert bad.status_code == 400
