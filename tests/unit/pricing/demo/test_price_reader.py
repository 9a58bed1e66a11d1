from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import pytest

from pricing.demo.price_reader import PriceReader, is_live
from streaming.events.event_types import rfc3339

NOW_MS = 1_795_000_000_000


def answer(
    zone_id: str = "161", *, source: str = "redis", freshness: str = "real-time", **data: Any
) -> dict[str, Any]:
    fields = {
        "zone_id": zone_id,
        "zone_name": f"Zone {zone_id}",
        "surge_multiplier": 1.25,
        "price": 11.25,
        "currency": "USD",
        "demand_count": 12,
        "supply_count": 4,
    }
    return {
        "data": {**fields, **data},
        "source": source,
        "freshness": freshness,
        "timestamp": rfc3339(NOW_MS),
        "age_ms": 1_200,
        "mode": "normal",
    }


class Service:
    """Answers every zone asked for; unknown zones start with an x."""

    def __init__(self, *first: httpx2.Response | httpx2.TransportError) -> None:
        self.first = list(first)
        self.asked: list[list[str]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        zone_ids = json.loads(request.content)["zone_ids"]
        self.asked.append(zone_ids)
        if self.first:
            outcome = self.first.pop(0)
            if isinstance(outcome, httpx2.TransportError):
                raise outcome
            return outcome
        answers = [
            {"zone_id": zone_id, "error": {}} if zone_id.startswith("x") else answer(zone_id)
            for zone_id in zone_ids
        ]
        return httpx2.Response(200, json={"data": answers, "mode": "degraded"})


async def _asked_once(service: Service, zone_ids: list[str]) -> PriceReader:
    ticks = iter(range(1_000_000))
    transport = httpx2.MockTransport(service)
    async with httpx2.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
        reader = PriceReader(
            client, zone_ids, since_ms=NOW_MS - 1, monotonic=lambda: next(ticks) / 8
        )
        for start in range(0, len(zone_ids), 500):
            await reader._ask(zone_ids[start : start + 500])
    return reader


async def test_reader_keeps_the_newest_answer_of_each_zone():
    reader = await _asked_once(Service(), ["161", "162"])
    assert reader.multipliers == {"161": 1_250_000, "162": 1_250_000}
    assert reader.mode == "degraded"
    assert reader.counts.by_source == {"redis": 2}
    assert reader.counts.answers == 2
    assert reader.counts.slowest_ms == pytest.approx(125)
    assert reader.is_live.is_set()


@pytest.mark.parametrize(
    "failure", [httpx2.ConnectError("refused"), httpx2.ReadTimeout("late"), httpx2.Response(500)]
)
async def test_reader_counts_what_was_not_answered(
    failure: httpx2.Response | httpx2.TransportError,
):
    reader = await _asked_once(Service(failure), ["161", "162"])
    assert reader.counts.unanswered == 2
    assert not reader.answers


async def test_reader_counts_an_unknown_zone_as_not_answered():
    reader = await _asked_once(Service(), ["161", "x"])
    assert (reader.counts.answers, reader.counts.unanswered) == (1, 1)


async def test_reader_asks_for_at_most_500_zones_at_once():
    service = Service()
    ticks = iter(range(1_000_000))
    transport = httpx2.MockTransport(service)
    async with httpx2.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
        zone_ids = [str(number) for number in range(501)]
        reader = PriceReader(client, zone_ids, since_ms=NOW_MS - 1, monotonic=lambda: next(ticks))
        run = asyncio.create_task(reader.run())
        async with asyncio.timeout(60):
            while len(reader.answers) < len(zone_ids):
                await asyncio.sleep(0)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    assert [len(asked) for asked in service.asked[:2]] == [500, 1]


async def test_reader_that_starts_counting_keeps_its_answers():
    reader = await _asked_once(Service(), ["161"])
    reader.start_counting()
    assert reader.counts.answers == 0
    assert reader.answers


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (answer(), True),
        (answer(source="database"), False),
        (answer(freshness="stale"), False),
        (answer(demand_count=0, supply_count=0), False),
        (answer(demand_count=0, supply_count=1), True),
    ],
)
def test_price_is_live_when_fresh_from_redis_and_made_of_events(
    given: dict[str, Any], expected: bool
):
    assert is_live(given, NOW_MS - 1) is expected


def test_price_left_by_an_earlier_run_is_not_live():
    assert not is_live(answer(), NOW_MS)
