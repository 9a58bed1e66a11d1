from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from starlette.responses import Response

from fallback.mode import Level
from pricing.api.app import create_app
from pricing.api.http.routing import Operation, add
from pricing.api.schemas.operators import Report
from pricing.errors import DependencyUnavailable
from pricing.mode.admission import Admission, Criticality
from pricing.mode.policy import KNOBS, ModePolicy
from tests.support.api import World


@pytest.mark.parametrize(
    ("criticality", "shares"),
    [
        (Criticality.SHEDDABLE, [100, 50, 0, 0, 0]),
        (Criticality.SHEDDABLE_PLUS, [100, 100, 25, 0, 0]),
        (Criticality.CRITICAL_PLUS, [100] * 5),
    ],
)
def test_share_of_a_class_follows_the_level(criticality, shares):
    taken = []
    for level in Level:
        admission = Admission()
        taken.append(sum(admission.admits(criticality, KNOBS[level]) for _ in range(100)))
        assert admission.shed[criticality] == 100 - taken[-1]
    assert taken == shares


def test_shed_requests_are_spread_evenly():
    admission = Admission()
    verdicts = [admission.admits(Criticality.SHEDDABLE, KNOBS[Level.MINOR]) for _ in range(6)]
    assert verdicts == [False, True, False, True, False, True]


def test_critical_requests_keep_a_part_of_their_room():
    admission = Admission(room=10)
    limits = []
    for level in Level:
        assert admission.admits(Criticality.CRITICAL, KNOBS[level])
        limits.append(admission.critical.limit)
    assert limits == [10, 10, 10, 5, 3]
    with pytest.raises(ValueError, match="room=0"):
        Admission(room=0)


def with_endpoint(world: World, level: Level, endpoint, **options) -> None:
    """The world's app with one more operation, in a mode of this level."""
    policy = ModePolicy(level=level, knobs=KNOBS[level], read=world.policy)
    world.dependencies = replace(world.dependencies, policy=lambda: policy)
    world.app = create_app(world.dependencies)
    operation = Operation(
        method="GET",
        path="/extra",
        operation_id="extra",
        tag="system",
        summary="Extra",
        description="For this test.",
        answer=Report,
        example={"data": {}},
        **options,
    )
    add(world.app, endpoint, operation)


async def answered(_request) -> Response:
    return Response("{}")


async def test_shed_request_is_told_when_to_come_again():
    world = World()
    with_endpoint(world, Level.MODERATE, answered, criticality=Criticality.SHEDDABLE)
    async with world.client() as client:
        response = await client.get("/extra")
        price = await client.get("/api/v1/zones/z1/price")
    assert response.status_code == 503
    assert response.json()["type"].endswith(":shed")
    assert (response.json()["mode"], response.json()["criticality"]) == ("degraded", "sheddable")
    assert 5 <= int(response.headers["retry-after"]) <= 15
    assert price.status_code == 200


async def test_critical_requests_beyond_their_room_are_shed():
    world, go = World(), asyncio.Event()

    async def waits(_request) -> Response:
        await go.wait()
        return Response("{}")

    with_endpoint(world, Level.CRITICAL, waits, criticality=Criticality.CRITICAL)
    world.app.state.admission = Admission(room=4)
    async with world.client() as client:
        first = asyncio.create_task(client.get("/extra"))
        while not world.app.state.admission.critical.in_flight:
            await asyncio.sleep(0)
        second = await client.get("/extra")
        go.set()
        assert ((await first).status_code, second.status_code) == (200, 503)


async def test_write_without_a_database_is_refused_clearly():
    world = World()
    with_endpoint(world, Level.NORMAL, answered, writes_database=True)
    async with world.client() as client:
        world.breakers["database"].force_open(for_s=None)
        refused = await client.get("/extra")
        world.breakers["database"].reset()
        taken = await client.get("/extra")
    assert (refused.status_code, taken.status_code) == (503, 200)
    assert "read-only mode. Your data is safe" in refused.json()["detail"]
    assert refused.headers["retry-after"]


async def test_write_that_loses_its_database_is_refused():
    async def breaks(_request) -> Response:
        raise DependencyUnavailable("database", "gone")

    world = World()
    with_endpoint(world, Level.NORMAL, breaks, writes_database=True)
    async with world.client() as client:
        refused = await client.get("/extra")
    assert refused.status_code == 503
    assert refused.json()["type"].endswith(":read-only")


async def test_request_knows_what_is_degraded():
    world, seen = World(), {}

    async def looks(request) -> Response:
        seen.update(mode=request.state.degraded_mode, services=request.state.degraded_services)
        return Response("{}")

    with_endpoint(world, Level.NORMAL, looks)
    async with world.client() as client:
        await client.get("/extra")
        assert seen == {"mode": False, "services": frozenset()}
        world.breakers["redis"].force_open(for_s=None)
        await client.get("/extra")
    assert seen == {"mode": True, "services": frozenset({"redis"})}
