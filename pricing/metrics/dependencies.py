"""The metrics of what stands around each dependency: call, retry, breaker, bulkhead, probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from fallback.breaker import CircuitBreaker, State, Transition, Verdict
from fallback.guards.bulkhead import Bulkhead
from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.metrics.registry import counter, gauge, histogram

_OUTCOMES: tuple[tuple[type[DependencyError], str], ...] = (
    (DependencyTimeout, "timeout"),
    (DependencyUnavailable, "unavailable"),
    (DependencySaturated, "saturated"),
    (DependencyRefused, "refused"),
)
_STATES = (State.CLOSED, State.OPEN, State.HALF_OPEN, State.FORCED_OPEN)
"""By their numbers in the metric."""


@dataclass(slots=True)
class CallMetrics:
    """How calls to dependencies end, as an observer of them."""

    calls: Counter = counter(
        "dependency_calls_total",
        "Calls to a dependency: ok, timeout, unavailable, saturated, refused or failed.",
        "dependency",
        "outcome",
    )
    _of: Callable[..., Counter] = field(init=False)

    def __post_init__(self) -> None:
        # A label's look-up takes a lock and checks each time; every read counts here.
        self._of = cache(self.calls.labels)

    def succeeded(self, dependency: str) -> None:
        self._of(dependency, "ok").inc()

    def failed(self, dependency: str, error: DependencyError) -> None:
        outcome = next((word for kind, word in _OUTCOMES if isinstance(error, kind)), "failed")
        self._of(dependency, outcome).inc()


@dataclass(slots=True)
class RetryMetrics:
    """Retries, as an observer of them."""

    attempts: Counter = counter(
        "retry_attempts_total", "Retries of writes and background work.", "service", "operation"
    )
    waits: Histogram = histogram("retry_delay_seconds", "Waits before retries.", "service")

    def on_retry(self, name: str, operation: str, attempt: int, wait_s: float) -> None:
        del attempt
        self.attempts.labels(name, operation).inc()
        self.waits.labels(name).observe(wait_s)


@dataclass(slots=True)
class SharedReadMetrics:
    """Reads that share one call to a store."""

    followers: Gauge = gauge(
        "singleflight_followers", "Reads that joined one under way, since the start.", "service"
    )

    def watch(self, service: str, followers: Callable[[], int]) -> None:
        """Show from now on how many reads of a store joined another."""
        self.followers.labels(service).set_function(followers)


@dataclass(slots=True)
class BreakerMetrics:
    """What circuit breakers do, as an observer of theirs."""

    requests: Counter = counter(
        "circuit_breaker_requests_total",
        "Calls that a circuit breaker was asked for: success, failure, neutral "
        "(cancelled, or refused here), rejected.",
        "service",
        "outcome",
    )
    failures: Counter = counter(
        "circuit_breaker_failures_total",
        "Calls that a circuit breaker counted as failed.",
        "service",
    )
    times: Histogram = histogram(
        "circuit_breaker_response_time",
        "Seconds that the admitted calls took; read together, many reads are one call.",
        "service",
    )
    states: Gauge = gauge(
        "circuit_breaker_state",
        "0 closed, 1 open, 2 half-open, 3 forced open.",
        "service",
    )
    changes: Counter = counter(
        "circuit_breaker_state_changes_total",
        "Changes of a circuit breaker's state.",
        "service",
        "from",
        "to",
    )
    _requests_of: Callable[..., Counter] = field(init=False)
    _failures_of: Callable[..., Counter] = field(init=False)
    _times_of: Callable[..., Histogram] = field(init=False)

    def __post_init__(self) -> None:
        # As in `CallMetrics`: every call to a store passes here.
        self._requests_of = cache(self.requests.labels)
        self._failures_of = cache(self.failures.labels)
        self._times_of = cache(self.times.labels)

    def watch(self, breaker: CircuitBreaker) -> None:
        """Show a breaker before its first call and its first change of state."""
        self.states.labels(breaker.name).set(_STATES.index(breaker.state))
        self._failures_of(breaker.name)
        for outcome in (*(verdict.value for verdict in Verdict), "rejected"):
            self._requests_of(breaker.name, outcome)

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None:
        self._requests_of(name, verdict.value).inc()
        if verdict is Verdict.FAILURE:
            self._failures_of(name).inc()
        self._times_of(name).observe(duration_s)

    def on_rejected(self, name: str) -> None:
        self._requests_of(name, "rejected").inc()

    def on_state_change(self, name: str, transition: Transition) -> None:
        self.states.labels(name).set(_STATES.index(transition.new))
        self.changes.labels(name, transition.old.value, transition.new.value).inc()


@dataclass(slots=True)
class BulkheadMetrics:
    """How full bulkheads are."""

    in_flight: Gauge = gauge("bulkhead_inflight", "Calls in flight.", "bulkhead")
    limits: Gauge = gauge("bulkhead_limit", "Calls that may be in flight.", "bulkhead")
    rejects: Gauge = gauge(
        "bulkhead_rejects", "Calls that found the bulkhead full, since the start.", "bulkhead"
    )

    def watch(self, bulkhead: Bulkhead) -> None:
        """Show a bulkhead from now on; its name must be one of a fixed set."""
        name = bulkhead.name
        self.in_flight.labels(name).set_function(lambda: bulkhead.in_flight)
        self.limits.labels(name).set_function(lambda: bulkhead.limit)
        self.rejects.labels(name).set_function(lambda: bulkhead.rejected_total)


@dataclass(slots=True)
class ProbeMetrics:
    """What probes found, as an observer of theirs."""

    checks: Counter = counter(
        "health_check_total",
        "Probes of dependencies that no other call was heard from: healthy, unhealthy.",
        "service",
        "status",
    )
    status: Gauge = gauge(
        "health_check_status", "1 where the last probe succeeded, 0 where it failed.", "service"
    )
    times: Histogram = histogram("health_check_duration_seconds", "Time of a probe.", "service")

    def probed(self, service: str, *, is_good: bool, duration_s: float) -> None:
        self.checks.labels(service, "healthy" if is_good else "unhealthy").inc()
        self.status.labels(service).set(is_good)
        self.times.labels(service).observe(duration_s)
