"""Sends the city's events to the HTTP ingest, in order, and counts what became of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import httpx2
import structlog

from pricing.local.delivery_check import DeliveryCheck
from pricing.simulator.city_events import CityEvent, RideRequest
from streaming.events.event_types import rfc3339

_log = structlog.get_logger(__name__)

_MAX_BATCH: Final = 500
_MAX_WAITING: Final = 50_000
_ANSWER_WITHIN_S: Final = 5.0
_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 5.0
REQUEST_PATIENCE_MS: Final = 180_000
"""A rider's app tries for so long, counted from when it has the request."""
STATUS_PATIENCE_MS: Final = 20_000
"""A driver's app, with a heartbeat; by then it has newer ones."""

_ACCEPTED: Final = 202


@dataclass(slots=True)
class FeedCounts:
    """What became of the events, up to now."""

    accepted: int = 0
    """Acknowledged by the service."""
    withdrawn: int = 0
    """Never acknowledged, and given up because they were too old."""
    refused: int = 0
    """Answered with an error that no repeat would change."""


class FeedQueue:
    """One kind of event on its way to one path: batches in order, one at a time.

    A batch whose outcome is unknown is sent again under the same idempotency key, until its
    newest event has waited for `patience_ms`.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        path: str,
        *,
        patience_ms: int,
        counts: FeedCounts,
        delivery_check: DeliveryCheck,
        now_ms: Callable[[], int],
    ) -> None:
        self._client = client
        self._path = path
        self._patience_ms = patience_ms
        self._counts = counts
        self._delivery_check = delivery_check
        self._now_ms = now_ms
        self._waiting: deque[tuple[int, Mapping[str, Any]]] = deque()
        self._in_flight = 0
        self._arrived = asyncio.Event()

    @property
    def pending(self) -> int:
        """Events that are not acknowledged yet."""
        return len(self._waiting) + self._in_flight

    def put(self, item: Mapping[str, Any]) -> None:
        """Queue one event; a full queue gives up its oldest."""
        if len(self._waiting) >= _MAX_WAITING:
            self._waiting.popleft()
            self._counts.withdrawn += 1
        self._waiting.append((self._now_ms(), item))
        self._arrived.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._arrived.wait()
            # Before the queue is emptied: what arrives from here on sets it again.
            self._arrived.clear()
            while self._waiting:
                count = min(_MAX_BATCH, len(self._waiting))
                batch = [self._waiting.popleft() for _ in range(count)]
                self._in_flight = count
                await self._deliver(batch)
                self._in_flight = 0

    async def _deliver(self, batch: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        items = [item for _, item in batch]
        # One key for all attempts: an answer may have been lost after the service took the batch.
        key = str(uuid4())
        while True:
            # The newest decides: as long as one event of the batch is worth sending, all go.
            if batch[-1][0] + self._patience_ms < self._now_ms():
                self._counts.withdrawn += len(items)
                return
            pause_s = await self._attempt(items, key)
            if pause_s is None:
                return
            await asyncio.sleep(pause_s)

    async def _attempt(self, items: Sequence[Mapping[str, Any]], key: str) -> float | None:
        """Send once; returns the pause before the next attempt, None when there is none."""
        try:
            answer = await self._client.post(
                self._path,
                json=items,
                headers={"Idempotency-Key": key},
                timeout=_ANSWER_WITHIN_S,
            )
        except httpx2.TransportError:
            return _PAUSE_S
        if answer.status_code == _ACCEPTED:
            self._counts.accepted += len(items)
            self._delivery_check.acknowledge(receipt["id"] for receipt in answer.json()["data"])
            return None
        # Whatever else the service refuses, it would refuse at every repeat.
        if answer.status_code >= 500 or answer.status_code == 429:
            return _retry_after_s(answer)
        self._counts.refused += len(items)
        _log.error("events refused", path=self._path, status=answer.status_code, body=answer.text)
        return None


class Feed:
    """The two queues of a city: ride requests and driver status."""

    def __init__(
        self, client: httpx2.AsyncClient, delivery_check: DeliveryCheck, now_ms: Callable[[], int]
    ) -> None:
        self.counts = FeedCounts()
        self.requests = FeedQueue(
            client,
            "/api/v1/events/ride-requests",
            patience_ms=REQUEST_PATIENCE_MS,
            counts=self.counts,
            delivery_check=delivery_check,
            now_ms=now_ms,
        )
        self.statuses = FeedQueue(
            client,
            "/api/v1/events/driver-status",
            patience_ms=STATUS_PATIENCE_MS,
            counts=self.counts,
            delivery_check=delivery_check,
            now_ms=now_ms,
        )

    @property
    def pending(self) -> int:
        """Events that are not acknowledged yet."""
        return self.requests.pending + self.statuses.pending

    def put(self, emissions: Iterable[CityEvent]) -> None:
        """Queue what a city sent."""
        for emission in emissions:
            queue = self.requests if isinstance(emission, RideRequest) else self.statuses
            queue.put(body_of(emission))

    async def run(self) -> None:
        """Send both queues until cancelled."""
        async with asyncio.TaskGroup() as queues:
            queues.create_task(self.requests.run())
            queues.create_task(self.statuses.run())


def body_of(emission: CityEvent) -> dict[str, Any]:
    """An event as the ingest takes it."""
    occurred_at = rfc3339(emission.at_ms)
    if isinstance(emission, RideRequest):
        return {
            "request_id": emission.request_id,
            "rider_id": emission.rider_id,
            "zone_id": emission.zone_id,
            "occurred_at": occurred_at,
        }
    return {
        "driver_id": emission.driver_id,
        "zone_id": emission.zone_id,
        "available": emission.available,
        "occurred_at": occurred_at,
    }


def _retry_after_s(answer: httpx2.Response) -> float:
    try:
        asked_s = float(answer.headers.get("Retry-After", ""))
    except ValueError:
        return _PAUSE_S
    return min(max(asked_s, _PAUSE_S), _LONGEST_PAUSE_S)
