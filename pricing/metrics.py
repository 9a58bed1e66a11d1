"""Every metric of the application: name, labels and meaning in one place.

Labels come from closed sets. None names a zone, a rider or anything else that grows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

import pricing
from fallback.breaker import CircuitBreaker, State, Transition, Verdict
from fallback.bulkhead import Bulkhead
from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.read_metrics import LATENCY_S, ReadMetrics
from pricing.spool_metrics import SpoolMetrics

_OUTCOMES: tuple[tuple[type[DependencyError], str], ...] = (
    (DependencyTimeout, "timeout"),
    (DependencyUnavailable, "unavailable"),
    (DependencySaturated, "saturated"),
    (DependencyRefused, "refused"),
)


_BREAKER_STATES = (
    State.CLOSED,
    State.OPEN,
    State.HALF_OPEN,
    State.FORCED_OPEN,
    State.DISABLED,
    State.METRICS_ONLY,
)
"""By their numbers in the metric."""


def new_registry() -> CollectorRegistry:
    """A registry with what every process shows: itself, its interpreter, its release."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Gauge(
        "equilibrium_build_info",
        "Always 1; the label says which release runs.",
        ["version"],
        registry=registry,
    ).labels(pricing.__version__).set(1)
    return registry


class Metrics:
    """The API's registry. Nothing is global: two can live in one process."""

    def __init__(self) -> None:
        registry = new_registry()
        self.registry = registry
        self.spool = SpoolMetrics(registry)
        self.reads = ReadMetrics()
        self.pulse = self.reads.pulse
        registry.register(self.reads)
        self._published = Counter(
            "events_published_total",
            "Events taken in over HTTP: sent (Kafka has them), buffered (durable here), failed.",
            ["topic", "status"],
            registry=registry,
        )
        self._breaker_requests = cache(
            Counter(
                "circuit_breaker_requests_total",
                "Calls that a circuit breaker was asked for: success, failure, neutral "
                "(cancelled, or refused here), rejected.",
                ["service", "outcome"],
                registry=registry,
            ).labels
        )
        self._breaker_failures = cache(
            Counter(
                "circuit_breaker_failures_total",
                "Calls that a circuit breaker counted as failed.",
                ["service"],
                registry=registry,
            ).labels
        )
        self._breaker_times = cache(
            Histogram(
                "circuit_breaker_response_time",
                "Seconds that the admitted calls took; read together, many reads are one call.",
                ["service"],
                buckets=LATENCY_S,
                registry=registry,
            ).labels
        )
        self._breaker_states = Gauge(
            "circuit_breaker_state",
            "0 closed, 1 open, 2 half-open; 3 forced open, 4 disabled, 5 metrics only.",
            ["service"],
            registry=registry,
        )
        self._breaker_changes = Counter(
            "circuit_breaker_state_changes_total",
            "Changes of a circuit breaker's state.",
            ["service", "from", "to"],
            registry=registry,
        )
        self._refreshed = Counter(
            "zone_refresh_states_total",
            "Zone states that the refresh read, by where it found them: redis, database, feed.",
            ["source"],
            registry=registry,
        )
        self._snapshots = Counter(
            "zone_snapshots_total",
            "Snapshots of the zones' last states on disk: written, failed, loaded, missing, or "
            "ignored (torn, foreign or of another release).",
            ["outcome"],
            registry=registry,
        )
        self._health_checks = Counter(
            "health_check_total",
            "Probes of dependencies that no other call was heard from: healthy, unhealthy.",
            ["service", "status"],
            registry=registry,
        )
        self._health_status = Gauge(
            "health_check_status",
            "1 where the last probe succeeded, 0 where it failed.",
            ["service"],
            registry=registry,
        )
        self._health_times = Histogram(
            "health_check_duration_seconds",
            "Time of a probe.",
            ["service"],
            buckets=LATENCY_S,
            registry=registry,
        )
        self._followers = Gauge(
            "singleflight_followers",
            "Reads that joined one under way, since the start.",
            ["service"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "bulkhead_inflight", "Calls in flight.", ["bulkhead"], registry=registry
        )
        self._bulkhead_limits = Gauge(
            "bulkhead_limit", "Calls that may be in flight.", ["bulkhead"], registry=registry
        )
        self._bulkhead_rejects = Gauge(
            "bulkhead_rejects",
            "Calls that found the bulkhead full, since the start.",
            ["bulkhead"],
            registry=registry,
        )
        self._retries = Counter(
            "retry_attempts_total",
            "Retries of writes and background work.",
            ["service", "operation"],
            registry=registry,
        )
        self._retry_waits = Histogram(
            "retry_delay_seconds",
            "Waits before retries.",
            ["service"],
            buckets=LATENCY_S,
            registry=registry,
        )
        self._calls = cache(
            Counter(
                "dependency_calls_total",
                "Calls to a dependency: ok, timeout, unavailable, saturated, refused or failed.",
                ["dependency", "outcome"],
                registry=registry,
            ).labels
        )

    def published(self, topic: str, status: str, events: int = 1) -> None:
        self._published.labels(topic, status).inc(events)

    def succeeded(self, dependency: str) -> None:
        """Count a good call, as an observer of calls."""
        self._calls(dependency, "ok").inc()

    def failed(self, dependency: str, error: DependencyError) -> None:
        """Count a call that went wrong, as an observer of calls."""
        outcome = next((word for kind, word in _OUTCOMES if isinstance(error, kind)), "failed")
        self._calls(dependency, outcome).inc()

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None:
        """Count an admitted call, as an observer of breakers."""
        self._breaker_requests(name, verdict.value).inc()
        if verdict is Verdict.FAILURE:
            self._breaker_failures(name).inc()
        self._breaker_times(name).observe(duration_s)

    def on_rejected(self, name: str) -> None:
        """Count a rejection, as an observer of breakers."""
        self._breaker_requests(name, "rejected").inc()

    def on_state_change(self, name: str, transition: Transition) -> None:
        """Note a change of state, as an observer of breakers."""
        self._breaker_states.labels(name).set(_BREAKER_STATES.index(transition.new))
        self._breaker_changes.labels(name, transition.old.value, transition.new.value).inc()

    def refreshed(self, source: str, zones: int) -> None:
        """Count what a round of the refresh found, as its observer."""
        self._refreshed.labels(source).inc(zones)

    def snapshot(self, outcome: str) -> None:
        """Count what became of a snapshot on disk."""
        self._snapshots.labels(outcome).inc()

    def probed(self, service: str, *, is_good: bool, duration_s: float) -> None:
        """Count a probe of a dependency."""
        self._health_checks.labels(service, "healthy" if is_good else "unhealthy").inc()
        self._health_status.labels(service).set(is_good)
        self._health_times.labels(service).observe(duration_s)

    def watch_breaker(self, breaker: CircuitBreaker) -> None:
        """Show a breaker before its first call and its first change of state."""
        name = breaker.name
        self._breaker_states.labels(name).set(_BREAKER_STATES.index(breaker.state))
        self._breaker_failures(name)
        for outcome in (*(verdict.value for verdict in Verdict), "rejected"):
            self._breaker_requests(name, outcome)

    def watch_bulkhead(self, bulkhead: Bulkhead) -> None:
        """Show a bulkhead from now on; its name must be one of a fixed set."""
        name = bulkhead.name
        self._in_flight.labels(name).set_function(lambda: bulkhead.in_flight)
        self._bulkhead_limits.labels(name).set_function(lambda: bulkhead.limit)
        self._bulkhead_rejects.labels(name).set_function(lambda: bulkhead.rejected_total)

    def watch_flight(self, service: str, followers: Callable[[], int]) -> None:
        """Show how many reads of a store joined another."""
        self._followers.labels(service).set_function(followers)

    def on_retry(self, name: str, operation: str, attempt: int, wait_s: float) -> None:
        """Count a retry, as an observer of retries."""
        del attempt
        self._retries.labels(name, operation).inc()
        self._retry_waits.labels(name).observe(wait_s)
