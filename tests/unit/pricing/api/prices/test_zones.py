from __future__ import annotations

import pytest

from pricing.api.schemas.clients import ZoneAnswer, ZoneAnswers
from tests.support.api import World


async def get(path, **params):
    async with World().client() as client:
        return await client.get(path, params=params)


async def test_zones_come_in_natural_order_as_documented():
    response = await get("/api/v1/zones")
    page = ZoneAnswers.model_validate_json(response.content)
    assert [zone.zone_id for zone in page.data] == ["z1", "z2", "z10"]
    assert page.next is None
    assert response.json()["data"][2] == {
        "zone_id": "z10",
        "name": "Zone z10",
        "city_id": "tyo",
        "zone_class": "core",
        "base_fare": 1300,
        "currency": "JPY",
        "center": {"lat": 35.68, "lon": 139.76},
        "min_multiplier": 1.0,
        "max_multiplier": 3.0,
    }


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_together_are_the_whole_list(limit):
    seen, cursor, pages = [], {}, 0
    while cursor is not None:
        page = (await get("/api/v1/zones", limit=limit, **cursor)).json()
        seen += [zone["zone_id"] for zone in page["data"]]
        cursor = page["next"] and {"cursor": page["next"]}
        pages += 1
    assert seen == ["z1", "z2", "z10"]
    assert pages == -(-3 // limit)


async def test_zones_of_a_city_are_paged_among_themselves():
    first = (await get("/api/v1/zones", city_id="nyc", limit=1)).json()
    second = (await get("/api/v1/zones", city_id="nyc", limit=1, cursor=first["next"])).json()
    assert [page["data"][0]["zone_id"] for page in (first, second)] == ["z1", "z2"]
    assert second["next"] is None
    assert (await get("/api/v1/zones", city_id="elsewhere")).json() == {"data": [], "next": None}


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ({"limit": 0}, "/limit"),
        ({"limit": 501}, "/limit"),
        ({"limit": "many"}, "/limit"),
        ({"cursor": "!"}, "/cursor"),
        ({"cursor": ""}, "/cursor"),
        ({"cursor": "A"}, "/cursor"),
        ({"cursor": "é"}, "/cursor"),
        ({"cursor": "_w"}, "/cursor"),
        ({"cursor": "MTIz" * 100}, "/cursor"),
        ({"cityid": "nyc"}, "/cityid"),
    ],
)
async def test_wrong_query_is_422_naming_the_parameter(params, pointer):
    response = await get("/api/v1/zones", **params)
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]


async def test_one_zone_is_as_in_the_list():
    listed = (await get("/api/v1/zones")).json()["data"]
    response = await get("/api/v1/zones/z2")
    ZoneAnswer.model_validate_json(response.content)
    assert response.json() == {"data": listed[1]}


async def test_unknown_zone_is_404():
    response = await get("/api/v1/zones/nowhere")
    assert response.status_code == 404
    assert response.json()["type"] == "urn:equilibrium:problem:unknown-zone"
