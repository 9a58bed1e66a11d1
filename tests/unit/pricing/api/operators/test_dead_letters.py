"""Dead letters over HTTP, out of a real box on disk."""

from __future__ import annotations

from itertools import chain

import pytest

from fallback.pump.dead_letters import DeadLetterBox, Letter
from pricing.api.health.dead_letters import DlqHealth
from tests.support.api import World

DLQ = "/admin/reliability/dlq"
ABSENT = "0123456789abcdef"


@pytest.fixture
def world(tmp_path) -> World:
    return World(dead_letters=tmp_path / "dead-letters")


@pytest.fixture
def box(world) -> DeadLetterBox:
    return world.dependencies.dead_letters


def add_letters(world: World, box: DeadLetterBox, count: int) -> list[Letter]:
    """Letters in the order in which they were laid aside; two by two at the same moment."""
    letters = []
    for number in range(count):
        world.now_ms += 1_000 * (number % 2)
        letters.append(
            box.add(
                lane="ride-requests/3",
                seq=number,
                body=b"body %d" % number,
                error_class="10",
                reason="too large",
                attempts=1,
                appended_ms=world.now_ms - 500,
            )
        )
    return sorted(letters, key=lambda letter: (letter.buried_ms, letter.id))


async def pages(client, limit: int) -> list[list[str]]:
    """The ids on each page, by following `next` to its end."""
    found, cursor = [], None
    while True:
        parameters = {"limit": limit} | ({} if cursor is None else {"cursor": cursor})
        response = await client.get(DLQ, params=parameters)
        assert response.status_code == 200, response.text
        found.append([entry["id"] for entry in response.json()["data"]])
        cursor = response.json()["next"]
        if cursor is None:
            return found


async def test_letter_is_listed_without_what_it_holds(world, box):
    [letter] = add_letters(world, box, 1)
    async with world.client() as client:
        response = await client.get(DLQ)
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "data": [
            {
                "id": letter.id,
                "lane": "ride-requests/3",
                "error_class": "10",
                "reason": "too large",
                "attempts": 1,
                "retries": 0,
                "bytes": 6,
                "appended_at": "2024-02-27T02:13:21.640Z",
                "buried_at": "2024-02-27T02:13:22.140Z",
            }
        ],
        "next": None,
    }


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (9, [5])])
async def test_every_letter_is_on_one_page_the_oldest_first(world, box, limit, sizes):
    letters = add_letters(world, box, 5)
    async with world.client() as client:
        found = await pages(client, limit)
    assert [len(page) for page in found] == sizes
    assert list(chain(*found)) == [letter.id for letter in letters]


async def test_page_goes_on_after_a_letter_that_is_gone_by_then(world, box):
    letters = add_letters(world, box, 4)
    async with world.client() as client:
        first = (await client.get(f"{DLQ}?limit=2")).json()
        await client.delete(f"{DLQ}/{first['data'][-1]['id']}")
        rest = (await client.get(DLQ, params={"cursor": first["next"]})).json()
    assert [entry["id"] for entry in rest["data"]] == [letter.id for letter in letters[2:]]


@pytest.mark.parametrize("cursor", ["nonsense", "?", "MTYx", "eCB4", "é", "LTEgeA", "IA"])
async def test_cursor_that_no_page_gave_is_refused(world, cursor):
    async with world.client() as client:
        response = await client.get(DLQ, params={"cursor": cursor})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/cursor"


async def test_retry_marks_the_letter_and_is_audited(world, box):
    [letter] = add_letters(world, box, 1)
    async with world.client() as client:
        response = await client.post(f"{DLQ}/{letter.id}/retry")
        again = await client.post(f"{DLQ}/{letter.id}/retry")
    assert response.json() == {"data": {"id": letter.id, "outcome": "put back"}}
    assert again.json()["type"].endswith(":unknown-dead-letter")
    assert box.letters() == []
    assert box.to_put_back() == [letter]
    [entry] = world.audit.recent
    assert (entry["action"], entry["target"]) == ("dlq.retry", letter.id)


async def test_discard_deletes_the_letter_and_is_audited(world, box):
    kept, letter = add_letters(world, box, 2)
    async with world.client() as client:
        response = await client.delete(f"{DLQ}/{letter.id}")
        again = await client.delete(f"{DLQ}/{letter.id}")
    assert response.json() == {"data": {"id": letter.id, "outcome": "discarded"}}
    assert again.status_code == 404
    assert box.letters() == [kept]
    [entry] = world.audit.recent
    assert (entry["action"], entry["target"]) == ("dlq.discard", letter.id)
    assert entry["before"]["reason"] == "too large"
    assert "body" not in entry["before"]


@pytest.mark.parametrize("letter_id", [ABSENT, "..%2Fkeys", "a.b", "%C3%A9"])
async def test_unknown_letter_is_neither_put_back_nor_discarded(world, box, letter_id):
    letters = add_letters(world, box, 1)
    async with world.client() as client:
        for response in (
            await client.post(f"{DLQ}/{letter_id}/retry"),
            await client.delete(f"{DLQ}/{letter_id}"),
        ):
            assert response.status_code == 404, response.text
    assert box.letters() == letters
    assert not world.audit.recent


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", DLQ), ("POST", f"{DLQ}/{ABSENT}/retry"), ("DELETE", f"{DLQ}/{ABSENT}")],
)
async def test_disk_that_fails_is_a_503_that_says_when_to_come_again(world, tmp_path, method, path):
    (tmp_path / "dead-letters").write_text("not a directory")
    async with world.client() as client:
        response = await client.request(method, path)
    assert response.status_code == 503, response.text
    assert response.json()["type"].endswith(":dead-letters-unavailable")
    assert int(response.headers["retry-after"]) > 0
    assert "directory" not in response.json()["detail"].lower()
    assert not world.audit.recent


@pytest.mark.parametrize("slash", ["", "/"])
async def test_health_tells_figures_and_no_letter(world, box, slash):
    add_letters(world, box, 3)
    world.now_ms += 2_000
    async with world.client() as client:
        response = await client.get(f"/health/dlq{slash}")
    health = DlqHealth.model_validate_json(response.content)
    assert (health.status, health.letters, health.by_class) == ("degraded", 3, {"10": 3})
    assert health.oldest_age_s == 3.0
    assert "too large" not in response.text


async def test_health_without_letters_or_without_a_disk_stays_200(world, tmp_path):
    async with world.client() as client:
        none = await client.get("/health/dlq")
        (tmp_path / "dead-letters").write_text("not a directory")
        broken = await client.get("/health/dlq")
    assert (none.status_code, none.json()["status"]) == (200, "healthy")
    assert (broken.status_code, broken.json()["status"]) == (200, "unknown")
    assert broken.json()["oldest_age_s"] is None
