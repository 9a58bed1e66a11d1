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
from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.metrics.dependencies import BreakerMetrics, BulkheadMetrics, ProbeMetrics
from pricing.metrics.reads import LATENCY_S, ReadMetrics
from pricing.metrics.spool import SpoolMetrics

_OUTCOMES: tuple[tuple[type[DependencyError], str], ...] = (
    (DependencyTimeout, "timeout"),
    (DependencyUnavailable, "unavailable"),
    (DependencySaturated, "saturated"),
    (DependencyRefused, "refused"),
)


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
        self.stats = self.reads.stats
        registry.register(self.reads)
        self.breakers = BreakerMetrics(registry)
        self.bulkheads = BulkheadMetrics(registry)
        self.probes = ProbeMetrics(registry)
        self._published = Counter(
            "events_published_total",
            "Events taken in over HTTP: sent (Kafka has them), buffered (durable here), failed.",
            ["topic", "status"],
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
        self._followers = Gauge(
            "singleflight_followers",
            "Reads that joined one under way, since the start.",
            ["service"],
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

    def refreshed(self, source: str, zones: int) -> None:
        """Count what a round of the refresh found, as its observer."""
        self._refreshed.labels(source).inc(zones)

    def snapshot(self, outcome: str) -> None:
        """Count what became of a snapshot on disk."""
        self._snapshots.labels(outcome).inc()

    def watch_flight(self, service: str, followers: Callable[[], int]) -> None:
        """Show how many reads of a store joined another."""
        self._followers.labels(service).set_function(followers)

    def on_retry(self, name: str, operation: str, attempt: int, wait_s: float) -> None:
        """Count a retry, as an observer of retries."""
        del attempt
        self._retries.labels(name, operation).inc()
        self._retry_waits.labels(name).observe(wait_s)
