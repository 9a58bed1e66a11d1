"""Every metric of the application: name, labels and meaning in one place.

Labels come from closed sets. None names a zone, a rider or anything else that grows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Callable, Sequence

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
from fallback.breaker import State, Transition, Verdict
from fallback.bulkhead import Bulkhead
from pricing.answers import Answer, FallbackReason
from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.local_zones import Live
from pricing.mode.pulse import Pulse
from pricing.model import Source
from pricing.spool_metrics import SpoolMetrics

_METHODS = frozenset(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])
_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
# In ticks and in the limits of freshness: 15 s ends real-time, 300 s stale, 3,600 s the ladder.
_AGE_S = (1, 2.5, 5, 7.5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
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


class _QuickHistogram(Histogram):
    """A histogram that finds its bucket by bisection and takes many equal amounts at once."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Count one amount; exemplars are not kept."""
        del exemplar
        self.observe_many(amount, 1)

    def observe_many(self, amount: float, times: int) -> None:
        self._sum.inc(amount * times)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(times)


class Metrics:
    """The API's registry. Nothing is global: two can live in one process."""

    def __init__(self) -> None:
        registry = new_registry()
        self.registry = registry
        self.spool = SpoolMetrics(registry)
        self.pulse = Pulse()
        self._requests = _QuickHistogram(
            "http_request_duration_seconds",
            "Time from a request's headers to the end of its answer, by route template.",
            ["route", "method", "status"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        # Looking a series up costs as much as counting.
        self._of_request: dict[tuple[str, str, int], Histogram] = {}
        self._of_source: dict[Source, Counter] = {}
        self._answers = Counter(
            "answer_source_total",
            "Prices answered, by the rung of the ladder that gave them.",
            ["source"],
            registry=registry,
        )
        self._fallbacks = Counter(
            "fallback_usage_total",
            "Prices that did not come from Redis, by where they came from and why.",
            ["source", "reason"],
            registry=registry,
        )
        self._ages = _QuickHistogram(
            "answer_age_seconds",
            "Age of the data in an answer; default fares, which have no age, are left out.",
            buckets=_AGE_S,
            registry=registry,
        )
        self._published = Counter(
            "events_published_total",
            "Events taken in over HTTP: sent (Kafka has them), buffered (durable here), failed.",
            ["topic", "status"],
            registry=registry,
        )
        self._breaker_requests = Counter(
            "circuit_breaker_requests_total",
            "Calls that a circuit breaker was asked for: success, failure, neutral (cancelled, or "
            "refused here), rejected.",
            ["service", "outcome"],
            registry=registry,
        )
        self._breaker_failures = Counter(
            "circuit_breaker_failures_total",
            "Calls that a circuit breaker counted as failed.",
            ["service"],
            registry=registry,
        )
        self._breaker_times = Histogram(
            "circuit_breaker_response_time",
            "Seconds that the admitted calls took; read together, many reads are one call.",
            ["service"],
            buckets=_LATENCY_S,
            registry=registry,
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
            buckets=_LATENCY_S,
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
            buckets=_LATENCY_S,
            registry=registry,
        )
        self._calls = Counter(
            "dependency_calls_total",
            "Calls to a dependency: ok, timeout, unavailable, saturated, refused or failed.",
            ["dependency", "outcome"],
            registry=registry,
        )

    def answered(self, answers: Sequence[Answer]) -> None:
        """Count prices that are about to be sent."""
        for (source, reason), times in Tally(
            (answer.source, answer.fallback_reason) for answer in answers
        ).items():
            self._count(source, reason, times)
        for answer in answers:
            if answer.policy_version is not None:
                self._ages.observe(answer.age_ms / 1000)

    def remembered(self, live: Live, age_ms: int) -> None:
        """Count a price out of the memo, of this age."""
        self._count(live.source, live.reason, 1)
        self._ages.observe_many(age_ms / 1000, 1)

    def remembered_many(self, prices: Sequence[tuple[Live, int]]) -> None:
        """Count prices out of the memo, each with its age in ms, told in whole seconds."""
        for (source, reason, age_s), times in Tally(
            (live.source, live.reason, age_ms // 1000) for live, age_ms in prices
        ).items():
            self._count(source, reason, times)
            self._ages.observe_many(age_s, times)

    def _count(self, source: Source, reason: FallbackReason | None, times: int) -> None:
        counter = self._of_source.get(source)
        if counter is None:
            counter = self._of_source[source] = self._answers.labels(source)
        counter.inc(times)
        self.pulse.answered(source, times)
        if reason is not None:
            self._fallbacks.labels(source, reason).inc(times)

    def request(self, route: str, method: str, status: int, duration_s: float) -> None:
        key = (route, method, status)
        series = self._of_request.get(key)
        if series is None:
            known = method if method in _METHODS else "OTHER"
            series = self._requests.labels(route, known, str(status))
            if method in _METHODS:
                self._of_request[key] = series  # routes and statuses are few
        series.observe(duration_s)
        self.pulse.request(route, status, duration_s)

    def published(self, topic: str, status: str, events: int = 1) -> None:
        self._published.labels(topic, status).inc(events)

    def succeeded(self, dependency: str) -> None:
        """Count a good call, as an observer of calls."""
        self._calls.labels(dependency, "ok").inc()

    def failed(self, dependency: str, error: DependencyError) -> None:
        """Count a call that went wrong, as an observer of calls."""
        outcome = next((word for kind, word in _OUTCOMES if isinstance(error, kind)), "failed")
        self._calls.labels(dependency, outcome).inc()

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None:
        """Count an admitted call, as an observer of breakers."""
        self._breaker_requests.labels(name, verdict.value).inc()
        if verdict is Verdict.FAILURE:
            self._breaker_failures.labels(name).inc()
        self._breaker_times.labels(name).observe(duration_s)

    def on_rejected(self, name: str) -> None:
        """Count a rejection, as an observer of breakers."""
        self._breaker_requests.labels(name, "rejected").inc()

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
