"""The metrics of what stands around each dependency: breaker, bulkhead, probe."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fallback.breaker import CircuitBreaker, State, Transition, Verdict
from fallback.guards.bulkhead import Bulkhead
from pricing.metrics.reads import LATENCY_S

_STATES = (
    State.CLOSED,
    State.OPEN,
    State.HALF_OPEN,
    State.FORCED_OPEN,
    State.DISABLED,
    State.METRICS_ONLY,
)
"""By their numbers in the metric."""


class BreakerMetrics:
    """What circuit breakers do, as an observer of theirs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = cache(
            Counter(
                "circuit_breaker_requests_total",
                "Calls that a circuit breaker was asked for: success, failure, neutral "
                "(cancelled, or refused here), rejected.",
                ["service", "outcome"],
                registry=registry,
            ).labels
        )
        self._failures = cache(
            Counter(
                "circuit_breaker_failures_total",
                "Calls that a circuit breaker counted as failed.",
                ["service"],
                registry=registry,
            ).labels
        )
        self._times = cache(
            Histogram(
                "circuit_breaker_response_time",
                "Seconds that the admitted calls took; read together, many reads are one call.",
                ["service"],
                buckets=LATENCY_S,
                registry=registry,
            ).labels
        )
        self._states = Gauge(
            "circuit_breaker_state",
            "0 closed, 1 open, 2 half-open; 3 forced open, 4 disabled, 5 metrics only.",
            ["service"],
            registry=registry,
        )
        self._changes = Counter(
            "circuit_breaker_state_changes_total",
            "Changes of a circuit breaker's state.",
            ["service", "from", "to"],
            registry=registry,
        )

    def watch(self, breaker: CircuitBreaker) -> None:
        """Show a breaker before its first call and its first change of state."""
        self._states.labels(breaker.name).set(_STATES.index(breaker.state))
        self._failures(breaker.name)
        for outcome in (*(verdict.value for verdict in Verdict), "rejected"):
            self._requests(breaker.name, outcome)

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None:
        self._requests(name, verdict.value).inc()
        if verdict is Verdict.FAILURE:
            self._failures(name).inc()
        self._times(name).observe(duration_s)

    def on_rejected(self, name: str) -> None:
        self._requests(name, "rejected").inc()

    def on_state_change(self, name: str, transition: Transition) -> None:
        self._states.labels(name).set(_STATES.index(transition.new))
        self._changes.labels(name, transition.old.value, transition.new.value).inc()


class BulkheadMetrics:
    """How full bulkheads are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._in_flight = Gauge(
            "bulkhead_inflight", "Calls in flight.", ["bulkhead"], registry=registry
        )
        self._limits = Gauge(
            "bulkhead_limit", "Calls that may be in flight.", ["bulkhead"], registry=registry
        )
        self._rejects = Gauge(
            "bulkhead_rejects",
            "Calls that found the bulkhead full, since the start.",
            ["bulkhead"],
            registry=registry,
        )

    def watch(self, bulkhead: Bulkhead) -> None:
        """Show a bulkhead from now on; its name must be one of a fixed set."""
        name = bulkhead.name
        self._in_flight.labels(name).set_function(lambda: bulkhead.in_flight)
        self._limits.labels(name).set_function(lambda: bulkhead.limit)
        self._rejects.labels(name).set_function(lambda: bulkhead.rejected_total)


class ProbeMetrics:
    """What probes found, as an observer of theirs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._checks = Counter(
            "health_check_total",
            "Probes of dependencies that no other call was heard from: healthy, unhealthy.",
            ["service", "status"],
            registry=registry,
        )
        self._status = Gauge(
            "health_check_status",
            "1 where the last probe succeeded, 0 where it failed.",
            ["service"],
            registry=registry,
        )
        self._times = Histogram(
            "health_check_duration_seconds",
            "Time of a probe.",
            ["service"],
            buckets=LATENCY_S,
            registry=registry,
        )

    def probed(self, service: str, *, is_good: bool, duration_s: float) -> None:
        self._checks.labels(service, "healthy" if is_good else "unhealthy").inc()
        self._status.labels(service).set(is_good)
        self._times.labels(service).observe(duration_s)
