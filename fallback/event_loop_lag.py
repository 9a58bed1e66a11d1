"""How late the event loop comes: every timer that fires late has kept a caller waiting as long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fallback.background import in_background
from fallback.clock import Monotonic
from fallback.sketch import LatencySketch


@asynccontextmanager
async def watching_lag(
    sketch: LatencySketch, *, now_s: Monotonic, every_s: float = 0.05
) -> AsyncIterator[None]:
    """While open, record in `sketch` by how many seconds a timer of `every_s` is late."""
    async with in_background("loop lag", _watch(sketch, now_s, every_s)):
        yield


async def _watch(sketch: LatencySketch, now_s: Monotonic, every_s: float) -> None:
    while True:
        due_s = now_s() + every_s
        await asyncio.sleep(every_s)
        woken_s = now_s()
        sketch.record(woken_s, max(0.0, woken_s - due_s))
