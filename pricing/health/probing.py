"""Probes dependencies that have no calls: one probe a second each, and no more.

Through the breaker where it lets calls through, so that it closes without traffic; beside it while
it is open, only to see whether the dependency is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import structlog

from fallback.background import in_background
from fallback.breaker import BreakerRegistry, CircuitBreaker, State
from fallback.clock import monotonic_s
from fallback.errors import RejectedLocally
from pricing.errors import DependencyError, DependencySaturated, DependencyTimeout
from pricing.health.passive import PassiveHealth

_log = structlog.get_logger(__name__)

_SOON = 0.1
"""Share of the interval after which a probe follows one that succeeded."""


class ProbeObserver(Protocol):
    """Hears how each probe ended. Must not raise and must not wait."""

    def probed(self, service: str, *, is_good: bool, duration_s: float) -> None: ...


@asynccontextmanager
async def probing(
    health: PassiveHealth,
    probes: Mapping[str, Callable[[], Awaitable[object]]],
    *,
    breakers: BreakerRegistry | None = None,
    observers: Sequence[ProbeObserver] = (),
    every_s: float = 1.0,
    timeout_s: float = 1.0,
) -> AsyncIterator[None]:
    """While open, call the probe of each dependency that had no other call for `every_s`.

    A probe that returns is a success; one that raises `DependencyError` or takes longer than
    `timeout_s` is a failure. At most one probe a dependency is under way. Probes go through
    the dependency's breaker, and also where it is not closed: so it closes without traffic.
    While it is open they only look: one that succeeds after others failed cuts the wait short.
    """
    work = [
        _keep_probing(health, _Probe(name, probe, breaker, timeout_s, observers), every_s)
        for name, probe in probes.items()
        for breaker in [None if breakers is None else breakers.get(name)]
    ]
    async with in_background("probing", *work):
        yield


@dataclass(frozen=True, slots=True)
class _Probe:
    dependency: str
    function: Callable[[], Awaitable[object]]
    breaker: CircuitBreaker | None
    timeout_s: float
    observers: Sequence[ProbeObserver] = ()

    @property
    def state(self) -> State:
        """Of the breaker; CLOSED where there is none."""
        return State.CLOSED if self.breaker is None else self.breaker.state

    async def look(self, watch: _Watch) -> None:
        """See whether a dependency whose breaker is open is back; if so, end its wait."""
        try:
            await self._bounded()
        except DependencySaturated:
            return  # our own full pool
        except DependencyError:
            watch.saw(is_there=False)
        else:
            if watch.saw(is_there=True) and self.breaker is not None:
                self.breaker.hasten()

    async def call(self) -> None:
        """Raises `DependencyError`, or `RejectedLocally` where the breaker lets none through."""
        if self.breaker is None:
            await self._bounded()
        else:
            self.breaker.expire()
            await self.breaker.call(self._bounded)

    async def _bounded(self) -> None:
        began_s, is_good = monotonic_s(), False
        try:
            async with asyncio.timeout(self.timeout_s):
                await self.function()
            is_good = True
        except TimeoutError:
            raise DependencyTimeout(self.dependency, "no answer to a probe") from None
        finally:
            for observer in self.observers:
                observer.probed(
                    self.dependency, is_good=is_good, duration_s=monotonic_s() - began_s
                )


@dataclass(slots=True)
class _Watch:
    """What was seen of a dependency since its breaker opened.

    Only a store that failed probes can be back: one that answers probes and fails calls is waited
    for. One that fails again after it was back, as while it starts, needs twice as many probes.
    """

    was_gone: bool = False
    there: int = 0
    """Probes in a row that went well."""
    enough: int = 1

    def saw(self, *, is_there: bool) -> bool:
        """Take a probe; returns whether the wait is over."""
        self.was_gone |= not is_there
        self.there = self.there + 1 if is_there else 0
        if not self.was_gone or self.there < self.enough:
            return False
        self.there, self.enough = 0, 2 * self.enough
        return True


async def _keep_probing(health: PassiveHealth, probe: _Probe, every_s: float) -> None:
    watch = _Watch()
    while True:
        wait_s = every_s
        try:
            if probe.state is State.CLOSED:
                watch = _Watch()
            elif probe.state is State.OPEN:
                await probe.look(watch)
            if probe.state is not State.CLOSED or health.is_idle(
                probe.dependency, int(every_s * 1000)
            ):
                await probe.call()
                health.succeeded(probe.dependency)
                if probe.state is not State.CLOSED:
                    wait_s = every_s * _SOON  # the verdict needs several probes
        except RejectedLocally:
            pass
        except DependencyError as error:
            health.failed(probe.dependency, error)
        except Exception:  # noqa: BLE001 # a fault in a probe must not end the probing
            _log.exception("probe failed unexpectedly", dependency=probe.dependency)
        await asyncio.sleep(wait_s)
