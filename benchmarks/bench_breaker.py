"""What shelter costs: a call through a breaker, open and closed, and what goes with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from benchmarks.benchmark import Case
from fallback.breaker import BreakerConfig, CircuitBreaker
from fallback.errors import CircuitOpenError
from fallback.guards.bulkhead import Bulkhead
from fallback.guards.deadline import request_deadline
from fallback.guards.single_flight import BatchedFlight

_CALLS = 5_000


async def _work() -> int:
    return 1


def _repeat(call: Callable[[], Awaitable[object]]) -> Callable[[], None]:
    async def calls() -> None:
        for _ in range(_CALLS):
            await call()

    return lambda: asyncio.run(calls())


class _Breaker:
    name = "breaker"
    what = (
        "One awaited call that does nothing, and the same through what shelters a dependency. "
        "The baseline is the bare await."
    )
    unit = "call"

    def cases(self) -> Sequence[Case]:
        closed = CircuitBreaker("closed", BreakerConfig())
        forced = CircuitBreaker("open", BreakerConfig())
        forced.force_open(for_s=None)
        bulkhead = Bulkhead("bench", 10)

        async def rejected() -> None:
            with suppress(CircuitOpenError):
                await forced.call(_work)

        async def timed() -> None:
            async with asyncio.timeout(1):
                await _work()

        async def bounded() -> None:
            with bulkhead:
                await _work()

        async def under_a_deadline() -> None:
            with request_deadline(1.0):
                await _work()

        async def fetch(keys: Sequence[str]) -> int:
            return len(keys)

        async def flown() -> None:
            await flight.get("key")

        flight: BatchedFlight[str, int] = BatchedFlight(fetch)
        ways: list[tuple[str, Callable[[], Awaitable[object]]]] = [
            ("bare", _work),
            ("breaker, closed", lambda: closed.call(_work)),
            ("breaker, open: rejected and caught", rejected),
            ("bulkhead", bounded),
            ("request deadline", under_a_deadline),
            ("asyncio.timeout", timed),
            ("single flight, alone", flown),
        ]
        return [Case(label=label, run=_repeat(way), operations=_CALLS) for label, way in ways]


BENCHMARK = _Breaker()
