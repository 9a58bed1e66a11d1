"""Every metric of the application: name, labels and meaning in one place.

Labels come from closed sets. None names a zone, a rider or anything else that grows.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence

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
from pricing.answers import Answer
from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)

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


class Metrics:
    """One registry with every metric on it. Nothing is global: two can live in one process."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        Gauge(
            "equilibrium_build_info",
            "Always 1; the label says which release runs.",
            ["version"],
            registry=registry,
        ).labels(pricing.__version__).set(1)
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Time from a request's headers to the end of its answer, by route template.",
            ["route", "method", "status"],
            buckets=_LATENCY_S,
            registry=registry,
        )
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
        self._ages = Histogram(
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
            self._answers.labels(source).inc(times)
            if reason is not None:
                self._fallbacks.labels(source, reason).inc(times)
        for answer in answers:
            if answer.policy_version is not None:
                self._ages.observe(answer.age_ms / 1000)

    def request(self, route: str, method: str, status: int, duration_s: float) -> None:
        known = method if method in _METHODS else "OTHER"
        self._requests.labels(route, known, str(status)).observe(duration_s)

    def published(self, topic: str, status: str, events: int = 1) -> None:
        self._published.labels(topic, status).inc(events)

    def succeeded(self, dependency: str) -> None:
        """Count a good call, as an observer of calls."""
        self._calls.labels(dependency, "ok").inc()

    def failed(self, dependency: str, error: DependencyError) -> None:
        """Count a call that went wrong, as an observer of calls."""
        outcome = next((word for kind, word in _OUTCOMES if isinstance(error, kind)), "failed")
        self._calls.labels(dependency, outcome).inc()
