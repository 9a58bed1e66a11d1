"""Clients that ask for prices while things break, and keep score of the answers."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import httpx2

_ANSWER_WITHIN_S: Final = 3.0
_OK: Final = 200


@dataclass(slots=True)
class Answers:
    """What came back since the last look."""

    latencies_s: list[float] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def percentile_ms(self, share: float) -> float:
        """0 without answers."""
        if not self.latencies_s:
            return 0.0
        ranked = sorted(self.latencies_s)
        return 1000 * ranked[min(len(ranked) - 1, math.ceil(share * len(ranked)) - 1)]


class PriceLoad:
    """Asks for one zone after the other, `per_s` times a second, whatever comes back."""

    def __init__(
        self,
        client: httpx2.AsyncClient,
        zone_ids: Sequence[str],
        *,
        per_s: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._client = client
        self._zone_ids = zone_ids
        self._every_s = 1 / per_s
        self._monotonic = monotonic
        self._since = Answers()

    def look(self) -> Answers:
        """What came back since the last look."""
        seen, self._since = self._since, Answers()
        return seen

    async def run(self) -> None:
        """Ask until cancelled. Open loop: a slow answer does not spare the service the next ask."""
        next_s = self._monotonic()
        async with asyncio.TaskGroup() as asking:
            for number in count():
                zone_id = self._zone_ids[number * 31 % len(self._zone_ids)]
                asking.create_task(self._ask(zone_id))
                next_s += self._every_s
                await asyncio.sleep(max(0.0, next_s - self._monotonic()))

    async def _ask(self, zone_id: str) -> None:
        began_s = self._monotonic()
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                answer = await self._client.get(f"/api/v1/zones/{zone_id}/price")
        except (httpx2.HTTPError, TimeoutError) as error:
            self._since.failures.append(type(error).__name__)
            return
        if answer.status_code != _OK:
            self._since.failures.append(f"status {answer.status_code}")
            return
        self._since.latencies_s.append(self._monotonic() - began_s)
        self._since.sources[answer.json()["source"]] += 1
