from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx2
import pytest

from pricing.local import feed as feed_module
from pricing.local.delivery_check import DeliveryCheck
from pricing.local.feed import REQUEST_PATIENCE_MS, STATUS_PATIENCE_MS, Feed
from pricing.simulator.city_events import DriverStatus, RideRequest

NOW_MS = 1_795_000_000_000
Answer = Callable[[httpx2.Request], httpx2.Response]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed_module, "_PAUSE_S", 0.0)
    monkeypatch.setattr(feed_module, "_LONGEST_PAUSE_S", 0.0)


class Ingest:
    """A service that takes events, after as many answers from `first` as there are."""

    def __init__(self, *first: httpx2.Response | httpx2.TransportError) -> None:
        self.first = list(first)
        self.seen: list[tuple[str, str, list[dict[str, Any]]]] = []
        self._ids = count()

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        items = json.loads(request.content)
        self.seen.append((request.url.path, request.headers["Idempotency-Key"], items))
        if self.first:
            answer = self.first.pop(0)
            if isinstance(answer, httpx2.TransportError):
                raise answer
            return answer
        receipts = [{"id": f"e{next(self._ids)}", "status": "sent"} for _ in items]
        return httpx2.Response(202, json={"data": receipts})


@asynccontextmanager
async def _running(
    ingest: Ingest, now_ms: Callable[[], int] = lambda: NOW_MS
) -> AsyncIterator[tuple[Feed, DeliveryCheck]]:
    delivery_check = DeliveryCheck()
    transport = httpx2.MockTransport(ingest)
    async with httpx2.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
        feed = Feed(client, delivery_check, now_ms)
        run = asyncio.create_task(feed.run())
        yield feed, delivery_check
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def _sent(feed: Feed) -> None:
    async with asyncio.timeout(60):
        while feed.pending:
            await asyncio.sleep(0)


def _request(number: int = 1, at_ms: int = NOW_MS) -> RideRequest:
    return RideRequest(at_ms, f"q{number}", "r1", "161")


def _status(number: int = 1, at_ms: int = NOW_MS) -> DriverStatus:
    return DriverStatus(at_ms, f"d{number}", "161", available=True)


async def test_feed_sends_each_kind_to_its_path_in_the_contracts_form():
    ingest = Ingest()
    async with _running(ingest) as (feed, delivery_check):
        feed.put([_request(), _status()])
        await _sent(feed)
    bodies = {path: items for path, _, items in ingest.seen}
    stamp = "2026-11-18T11:06:40.000Z"
    assert bodies == {
        "/api/v1/events/ride-requests": [
            {"request_id": "q1", "rider_id": "r1", "zone_id": "161", "occurred_at": stamp}
        ],
        "/api/v1/events/driver-status": [
            {"driver_id": "d1", "zone_id": "161", "available": True, "occurred_at": stamp}
        ],
    }
    assert feed.counts.accepted == delivery_check.acknowledged == 2


async def test_feed_sends_batches_of_at_most_500_in_order():
    ingest = Ingest()
    async with _running(ingest) as (feed, _):
        feed.put(_status(number) for number in range(1_201))
        await _sent(feed)
    sizes = [len(items) for _, _, items in ingest.seen]
    drivers = [item["driver_id"] for _, _, items in ingest.seen for item in items]
    assert max(sizes) <= 500
    assert drivers == [f"d{number}" for number in range(1_201)]


@pytest.mark.parametrize(
    "failure",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("no answer"),
        httpx2.Response(503, headers={"Retry-After": "5"}),
        httpx2.Response(429),
    ],
)
async def test_feed_repeats_a_batch_under_its_key(
    failure: httpx2.Response | httpx2.TransportError,
):
    ingest = Ingest(failure)
    async with _running(ingest) as (feed, delivery_check):
        feed.put([_request(1), _request(2)])
        await _sent(feed)
    (_, first_key, first), (_, second_key, second) = ingest.seen
    assert (first_key, first) == (second_key, second)
    assert delivery_check.acknowledged == feed.counts.accepted == 2


async def test_feed_does_not_repeat_what_was_refused():
    ingest = Ingest(httpx2.Response(422, json={"title": "no"}))
    async with _running(ingest) as (feed, delivery_check):
        feed.put([_request()])
        await _sent(feed)
    assert len(ingest.seen) == 1
    assert (feed.counts.refused, feed.counts.accepted, delivery_check.acknowledged) == (1, 0, 0)


async def test_feed_gives_up_what_has_waited_too_long():
    clock = [NOW_MS]
    ingest = Ingest()
    async with _running(ingest, lambda: clock[0]) as (feed, _):
        feed.put([_status(), _request()])
        clock[0] += STATUS_PATIENCE_MS + 1
        await _sent(feed)
    assert [path for path, _, _ in ingest.seen] == ["/api/v1/events/ride-requests"]
    assert feed.counts.withdrawn == 1
    assert REQUEST_PATIENCE_MS > STATUS_PATIENCE_MS


async def test_feed_sends_what_happened_long_ago():
    ingest = Ingest()
    async with _running(ingest) as (feed, _):
        feed.put([_request(at_ms=NOW_MS - REQUEST_PATIENCE_MS - 100_000)])
        await _sent(feed)
    assert feed.counts.accepted == 1


async def test_feed_that_is_full_gives_up_its_oldest(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed_module, "_MAX_WAITING", 2)
    async with httpx2.AsyncClient(transport=httpx2.MockTransport(Ingest())) as client:
        feed = Feed(client, DeliveryCheck(), lambda: NOW_MS)
        feed.put(_status(number) for number in range(5))
    assert feed.pending == 2
    assert feed.counts.withdrawn == 3
