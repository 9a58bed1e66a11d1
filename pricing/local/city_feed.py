"""Feeds the service what happens in the cities, and waits until it has arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from pricing.local.cities import Cities
from pricing.local.delivery_check import DeliveryCheck
from pricing.local.feed import Feed

_STEP_S: Final = 0.5
_LOOK_EVERY_S: Final = 0.02


async def feed_cities(
    cities: Cities,
    feed: Feed,
    *,
    multipliers: Callable[[], Mapping[str, int]],
    now_ms: Callable[[], int],
) -> None:
    """Send what happens until cancelled; `multipliers` is what riders and drivers see by then."""
    statuses, requests = cities.opening()
    # Drivers first: requests in a city without any would show a shortage that never was.
    feed.put(statuses)
    await _until(lambda: not feed.pending)
    feed.put(requests)
    while True:
        feed.put(cities.step(now_ms(), multipliers()))
        await asyncio.sleep(_STEP_S)


async def settle(feed: Feed, delivery_check: DeliveryCheck, within_s: float) -> None:
    """Let what is under way arrive: in the service, and then in Kafka.

    Returns after `within_s` all the same; what is still missing then counts as lost or kept.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await _until(lambda: not feed.pending and not delivery_check.missing)


async def _until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what it asks changes in many places, none of them ours
        await asyncio.sleep(_LOOK_EVERY_S)
