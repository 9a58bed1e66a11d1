"""What is known of the dependencies, from the calls that were made to them anyway.

Reading it costs nothing and opens no connection. Where an answer is needed without requests (a
readiness rule, an idle instance), `pricing.health.probing` runs beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog

from fallback.breaker import BreakerRegistry, CircuitBreaker, State, Transition, Verdict
from pricing.errors import DependencyError, DependencySaturated

DEPENDENCIES = ("redis", "database", "kafka")

_SHUT = (State.OPEN, State.FORCED_OPEN)

UNHEALTHY_AFTER = 3
"""Failures in a row that turn a service from degraded to unhealthy."""

Status = Literal["healthy", "degraded", "unhealthy", "unknown"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHealth:
    """One dependency, as it looked at its last calls."""

    status: Status
    """`unknown`: it was not called lately."""
    state: str
    """State of its circuit breaker; CLOSED where it has none."""
    failures: int
    """Among the last calls, as `successes`."""
    successes: int
    last_state_change_ms: int | None
    """When `status` last changed, epoch ms. None: never."""
    response_time_ms: float | None = None
    """Of the last call. None: none was made."""
    last_success_ms: int | None = None
    """Epoch ms. None: never."""

    @property
    def failure_rate(self) -> float:
        """Between 0 and 1; 0 without calls."""
        calls = self.failures + self.successes
        return self.failures / calls if calls else 0.0


class HealthSource(Protocol):
    """Tells the health of every dependency from memory."""

    def services(self) -> Mapping[str, ServiceHealth]: ...

    @property
    def breakers(self) -> Iterable[CircuitBreaker]:
        """The circuit breakers that it asks."""
        ...

    @property
    def version(self) -> int:
        """Changes whenever `services` may give another answer."""
        ...


class PassiveHealth:
    """A health source that observes how calls end. A dependency without recent calls is unknown.

    `breakers` are named as their dependencies; a service whose breaker lets nothing through is
    unhealthy, whatever the last calls were.
    """

    def __init__(
        self,
        *,
        now_ms: Callable[[], int],
        dependencies: Sequence[str] = DEPENDENCIES,
        breakers: BreakerRegistry | None = None,
        window: int = 100,
        forget_after_ms: int = 30_000,
    ) -> None:
        self._now_ms = now_ms
        self._forget_after_ms = forget_after_ms
        self._breakers = breakers or BreakerRegistry()
        self._watched = tuple(self._breakers)
        for breaker in self._watched:
            breaker.watch(self)
        self.version = 0
        self._calls = {name: _Calls(deque(maxlen=window)) for name in dependencies}

    @property
    def breakers(self) -> Iterable[CircuitBreaker]:
        return self._watched

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None:
        """Note how long a call took, as an observer of breakers."""
        calls = self._calls.get(name)
        if calls is not None and verdict is not Verdict.NEUTRAL:
            calls.response_time_ms = round(duration_s * 1000, 2)

    def on_rejected(self, name: str) -> None: ...

    def on_state_change(self, name: str, transition: Transition) -> None:
        """Note that `services` answers differently from now on, as an observer of breakers."""
        del name, transition
        self.version += 1

    def succeeded(self, dependency: str) -> None:
        self.version += self._calls[dependency].add(True, self._now_ms())

    def failed(self, dependency: str, error: DependencyError) -> None:
        """Count a failure, unless it says nothing about the server."""
        if not isinstance(error, DependencySaturated):
            self.version += self._calls[dependency].add(False, self._now_ms())

    def note_if_idle(self, dependency: str, error: DependencyError | None, *, idle_ms: int) -> None:
        """Count another source's result, if the dependency had no call for `idle_ms`."""
        if not self.is_idle(dependency, idle_ms):
            return
        if error is None:
            self.succeeded(dependency)
        else:
            self.failed(dependency, error)

    def is_idle(self, dependency: str, for_ms: int) -> bool:
        """Whether a dependency had no call for `for_ms`; true before the first one."""
        last_ms = self._calls[dependency].last_ms
        return last_ms is None or self._now_ms() - last_ms >= for_ms

    def services(self) -> Mapping[str, ServiceHealth]:
        return {
            name: calls.health(
                is_known=not self.is_idle(name, self._forget_after_ms), state=self._state(name)
            )
            for name, calls in self._calls.items()
        }

    def _state(self, dependency: str) -> State:
        breaker = self._breakers.get(dependency)
        return State.CLOSED if breaker is None else breaker.state


@dataclass(slots=True)
class _Calls:
    results: deque[bool]
    last_ms: int | None = None
    failures: int = 0
    failed_in_a_row: int = 0
    status: Status = "unknown"
    changed_ms: int | None = None
    success_ms: int | None = None
    response_time_ms: float | None = None

    def add(self, is_good: bool, now_ms: int) -> bool:
        """Count a call; returns whether the status changed."""
        # The oldest result falls out of the window with the append below.
        if len(self.results) == self.results.maxlen and not self.results[0]:
            self.failures -= 1
        self.results.append(is_good)
        self.failures += not is_good
        self.failed_in_a_row = 0 if is_good else self.failed_in_a_row + 1
        self.last_ms = now_ms
        if is_good:
            self.success_ms = now_ms
        status: Status = "healthy" if is_good else "degraded"
        if self.failed_in_a_row >= UNHEALTHY_AFTER:
            status = "unhealthy"
        is_changed = status != self.status
        if is_changed:
            self.status, self.changed_ms = status, now_ms
        return is_changed

    def health(self, *, is_known: bool, state: State) -> ServiceHealth:
        status: Status = self.status if is_known else "unknown"
        return ServiceHealth(
            status="unhealthy" if state in _SHUT else status,
            state=state.value,
            failures=self.failures,
            successes=len(self.results) - self.failures,
            last_state_change_ms=self.changed_ms,
            response_time_ms=self.response_time_ms,
            last_success_ms=self.success_ms,
        )
