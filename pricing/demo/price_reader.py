"""Asks the service for every zone's price, as its clients do, and keeps score of the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import httpx2

from pricing.model import MICRO, Freshness, Source
from streaming.events.event_types import to_ms

_MAX_BATCH: Final = 500
_EVERY_S: Final = 1.0
_ANSWER_WITHIN_S: Final = 3.0
_OK: Final = 200


@dataclass(slots=True)
class PriceCounts:
    """How the service answered, up to now."""

    answers: int = 0
    """Prices, one per zone asked."""
    by_source: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    """Zones asked for in vain: no connection, no answer in time, an error."""
    slowest_ms: float = 0.0
    """Of the requests, each for up to 500 zones."""


class PriceReader:
    """Holds the newest answer of each zone.

    `multipliers` is what the city's riders and drivers see, in millionths. A price counts as
    live only if it was made after `since_ms`: an earlier run may have left some that are still
    fresh.
    """

    def __init__(
        self,
        client: httpx2.AsyncClient,
        zone_ids: Sequence[str],
        *,
        since_ms: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._zone_ids = zone_ids
        self._since_ms = since_ms
        self._monotonic = monotonic
        self.counts = PriceCounts()
        self.answers: dict[str, Mapping[str, Any]] = {}
        self.mode = "starting"
        self.is_live = asyncio.Event()

    @property
    def multipliers(self) -> dict[str, int]:
        """The multiplier of each zone that has been answered."""
        return {
            zone_id: round(answer["data"]["surge_multiplier"] * MICRO)
            for zone_id, answer in self.answers.items()
        }

    def start_counting(self) -> None:
        """Forget the counts so far, not the answers."""
        self.counts = PriceCounts()

    async def run(self) -> None:
        """Ask once a second until cancelled."""
        while True:
            began = self._monotonic()
            for start in range(0, len(self._zone_ids), _MAX_BATCH):
                await self._ask(self._zone_ids[start : start + _MAX_BATCH])
            # Once a second from start to start, however long the answers took.
            await asyncio.sleep(max(0.0, _EVERY_S - (self._monotonic() - began)))

    async def _ask(self, zone_ids: Sequence[str]) -> None:
        began = self._monotonic()
        try:
            response = await self._client.post(
                "/api/v1/prices", json={"zone_ids": list(zone_ids)}, timeout=_ANSWER_WITHIN_S
            )
        except httpx2.TransportError:
            self.counts.unanswered += len(zone_ids)
            return
        took_ms = (self._monotonic() - began) * 1000
        if response.status_code != _OK:
            self.counts.unanswered += len(zone_ids)
            return
        self.counts.slowest_ms = max(self.counts.slowest_ms, took_ms)
        self._take(response.json())

    def _take(self, batch: Mapping[str, Any]) -> None:
        self.mode = batch.get("mode", self.mode)
        for answer in batch["data"]:
            if "error" in answer:
                self.counts.unanswered += 1
                continue
            self.counts.answers += 1
            self.counts.by_source[answer["source"]] += 1
            self.answers[answer["data"]["zone_id"]] = answer
            if is_live(answer, self._since_ms):
                self.is_live.set()


def is_live(answer: Mapping[str, Any], since_ms: int) -> bool:
    """Whether a price is up to date, made from events, and made after a moment."""
    data = answer["data"]
    is_fresh = answer["source"] == Source.REDIS and answer["freshness"] == Freshness.REAL_TIME
    is_ours = to_ms(datetime.fromisoformat(answer["timestamp"])) > since_ms
    return is_fresh and is_ours and bool(data["demand_count"] or data["supply_count"])
