"""Who may call what: every route of the app, with every kind of key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pricing.access.auth import KeyGate, OpenGate, Principal
from pricing.access.keys import KeyFile
from pricing.access.role import Role
from pricing.api.app import create_app
from tests.support.api import World

NOW_S = 1_000.0
OPEN_TO_ALL = {
    "/health",
    "/health/live",
    "/health/ready",
    "/api/health",
    "/metrics",
    "/docs",
    "/openapi.json",
}


class Keys:
    """A file with a key of each kind, and the texts that their owners hold."""

    def __init__(self, directory: Path) -> None:
        self.file = KeyFile(directory / "keys.json")
        self.texts = {
            role: self.file.create(name=f"the {role}", role=role, now_s=1)[1] for role in Role
        }
        self.expired = self.file.create(name="e", role=Role.ADMIN, now_s=1, expires_at_s=1_000)[1]
        key, self.revoked = self.file.create(name="r", role=Role.ADMIN, now_s=1)
        self.file.revoke(key.key_id, 2)
        self.ring = self.file.load()


@pytest.fixture
def keys(tmp_path) -> Keys:
    return Keys(tmp_path)


@pytest.fixture
def world(keys) -> World:
    world = World()
    gate = KeyGate(lambda: keys.ring, wall_s=lambda: NOW_S)
    world.dependencies = replace(world.dependencies, gate=gate)
    world.app = create_app(world.dependencies)
    return world


def guarded_routes(world: World) -> list[tuple[str, str, Role]]:
    """Method, path and role of every route that is not for everybody, from the router."""
    found = []
    for route in world.app.routes:
        if route.path.rstrip("/") in OPEN_TO_ALL:
            continue
        role = Role(route.openapi_extra["x-role"])
        path = route.path.replace("{zone_id}", "z1").replace("{", "").replace("}", "")
        found += [(method, path, role) for method in route.methods]
    return found


async def test_every_route_refuses_who_shows_no_good_key(world, keys):
    admin = keys.texts[Role.ADMIN]
    bad = [None, keys.revoked, keys.expired, admin[:-1], admin + "A", "eq_", "x" * 5_000]
    async with world.client() as client:
        for method, path, _ in guarded_routes(world):
            for text in bad:
                headers = {} if text is None else {"X-API-Key": text}
                response = await client.request(method, path, headers=headers)
                assert response.status_code == 401, (method, path, text)
                assert response.headers["www-authenticate"].startswith("Bearer")
                assert response.json()["type"].endswith(":unauthenticated")
                assert response.headers["x-request-id"]


async def test_every_route_tells_the_role_that_it_needs(world, keys):
    world.dependencies.drain.begin()  # a stream ends at once then
    async with world.client() as client:
        for method, path, role in guarded_routes(world):
            for given, text in keys.texts.items():
                headers = {"Authorization": f"Bearer {text}"}
                response = await client.request(method, path, headers=headers)
                if given.includes(role):
                    assert response.status_code not in (401, 403), (method, path, given)
                else:
                    assert response.status_code == 403, (method, path, given)
                    assert response.json()["role_needed"] == role
                    assert str(role) in response.json()["detail"]


async def test_probes_and_pages_need_no_key(world):
    async with world.client() as client:
        for path in OPEN_TO_ALL:
            assert (await client.get(path)).status_code == 200, path


def test_probes_are_for_everybody_and_every_detailed_health_for_operators(world):
    roles = {
        route.path: (route.openapi_extra or {}).get("x-role")
        for route in world.app.routes
        if route.path.startswith("/health")
    }
    open_to_all = {path for path, role in roles.items() if role is None}
    assert {path.rstrip("/") for path in open_to_all} == {
        "/health",
        "/health/live",
        "/health/ready",
    }
    assert {roles[path] for path in roles.keys() - open_to_all} == {Role.OPERATOR}
    assert "/health/dlq" in roles


async def test_challenge_tells_a_missing_key_from_a_bad_one(world):
    async with world.client() as client:
        missing = await client.get("/api/v1/zones")
        bad = await client.get("/api/v1/zones", headers={"Authorization": "Bearer nonsense"})
        basic = await client.get("/api/v1/zones", headers={"Authorization": "Basic YTpi"})
    assert 'error="invalid_token"' not in missing.headers["www-authenticate"]
    assert 'error="invalid_token"' in bad.headers["www-authenticate"]
    assert basic.status_code == 401


async def test_price_is_told_with_a_key_in_either_header(world, keys):
    text = keys.texts[Role.CLIENT]
    async with world.client() as client:
        for headers in ({"Authorization": f"bearer {text}"}, {"X-API-Key": text}):
            response = await client.get("/api/v1/zones/z1/price", headers=headers)
            assert response.status_code == 200


@pytest.mark.parametrize("shows_key", [True, False])
async def test_open_gate_lets_everybody_in_and_still_tells_who_shows_a_key(keys, shows_key):
    text = keys.texts[Role.CLIENT].encode()
    headers = [(b"x-api-key", text)] if shows_key else []
    who = OpenGate(lambda: keys.ring).identify(headers)
    assert who.role is Role.ADMIN
    assert who.name == ("the client" if shows_key else "anyone")


def test_actor_names_the_key():
    assert Principal("anna", Role.ADMIN, "abc").actor == "anna (abc)"
    assert Principal("anyone", Role.ADMIN).actor == "anyone"
