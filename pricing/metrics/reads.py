"""The metrics of reads: what every request counts, and how the states behind it are refreshed.

Requests are counted in plain numbers, of which a scrape makes samples: prometheus-client's
counters take a lock for each number, and a price read counts five. One event loop counts and is
scraped here, so that none is needed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import Counter, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from pricing.metrics.registry import LATENCY_S, counter
from pricing.metrics.request_stats import RequestStats
from pricing.model import Source
from pricing.reading.answer import FallbackReason

# In ticks and in the limits of freshness: 15 s ends real-time, 300 s stale, 3,600 s the ladder.
_AGE_MS = tuple(int(1000 * s) for s in (1, 2.5, 5, 7.5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600))
_METHODS = frozenset(["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"])


class _Series:
    """A histogram's numbers."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, amount: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, amount)] += times
        self._sum += amount * times

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str], per: int = 1) -> None:
        """Make samples of them; `per`: how many of our units one of the metric's unit is."""
        passed = list(accumulate(self._counts))
        bounds = [*(str(float(bound / per)) for bound in self._bounds), "+Inf"]
        family.add_metric(labels, list(zip(bounds, passed, strict=True)), self._sum / per)


class ReadMetrics(Collector):
    """Prices by where they came from and how old they were, requests by how long they took."""

    def __init__(self) -> None:
        self.stats = RequestStats()
        self._answers: Tally[tuple[Source, FallbackReason | None]] = Tally()
        self._ages = _Series(_AGE_MS)
        self._requests: dict[tuple[str, str, int], _Series] = {}

    def answered(
        self, source: Source, reason: FallbackReason | None, age_ms: int | None, times: int = 1
    ) -> None:
        """Count prices that are about to be sent; `age_ms` is None for a default fare."""
        self._answers[source, reason] += times
        self.stats.answered(source, times)
        if age_ms is not None:
            self._ages.add(age_ms, times)

    def request(self, route: str, method: str, status: int, duration_s: float) -> None:
        if method not in _METHODS:
            method = "OTHER"
        series = self._requests.get((route, method, status))
        if series is None:
            series = self._requests[route, method, status] = _Series(LATENCY_S)
        series.add(duration_s)
        self.stats.request(route, status, duration_s)

    def collect(self) -> Iterable[Metric]:
        answers = CounterMetricFamily(
            "answer_source_total",
            "Prices answered, by the rung of the ladder that gave them.",
            labels=["source"],
        )
        fallbacks = CounterMetricFamily(
            "fallback_usage_total",
            "Prices that did not come from Redis, by where they came from and why.",
            labels=["source", "reason"],
        )
        by_source: Tally[Source] = Tally()
        for (source, reason), times in self._answers.items():
            by_source[source] += times
            if reason is not None:
                fallbacks.add_metric([source, reason], times)
        for source, times in by_source.items():
            answers.add_metric([source], times)
        return answers, fallbacks, self._collect_ages(), self._collect_requests()

    describe = collect
    """What the registry checks names by."""

    def _collect_ages(self) -> Metric:
        ages = HistogramMetricFamily(
            "answer_age_seconds",
            "Age of the data in an answer; default fares, which have no age, are left out.",
            labels=[],
        )
        self._ages.add_to(ages, [], per=1000)
        return ages

    def _collect_requests(self) -> Metric:
        requests = HistogramMetricFamily(
            "http_request_duration_seconds",
            "Time from a request's headers to the end of its answer, by route template.",
            labels=["route", "method", "status"],
        )
        for (route, method, status), series in self._requests.items():
            series.add_to(requests, [route, method, str(status)])
        return requests


@dataclass(slots=True)
class RefreshMetrics:
    """How the last known states are kept fresh, as an observer of the refresh."""

    states: Counter = counter(
        "zone_refresh_states_total",
        "Zone states that the refresh read, by where it found them: redis, database, feed.",
        "source",
    )
    snapshots: Counter = counter(
        "zone_snapshots_total",
        "Snapshots of the zones' last states on disk: written, failed, loaded, missing, or "
        "ignored (torn, foreign or of another release).",
        "outcome",
    )

    def refreshed(self, source: str, zones: int) -> None:
        """Count what a round found."""
        self.states.labels(source).inc(zones)

    def snapshot(self, outcome: str) -> None:
        """Count what became of a snapshot on disk."""
        self.snapshots.labels(outcome).inc()
