"""What is shown before anything was counted, and what a scrape makes of plain numbers."""

from __future__ import annotations

import pytest
from prometheus_client import generate_latest

from fallback.breaker import PROFILES
from pricing.metrics.api import Metrics
from pricing.model import Source
from pricing.reading.answer import FallbackReason
from pricing.reading.guarded_store import new_breakers

NAMED = (
    "circuit_breaker_requests",
    "circuit_breaker_state",
    "circuit_breaker_failures",
    "circuit_breaker_response_time",
    "retry_attempts",
    "retry_delay_seconds",
    "health_check_duration_seconds",
    "health_check_status",
    "health_check",
    "fallback_usage",
    "answer_source",
    "answer_age_seconds",
    "singleflight_followers",
    "bulkhead_inflight",
)
REDIS = {"service": "redis"}


def value(metrics, name, **labels):
    return metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def metrics():
    return Metrics()


def test_every_name_that_dashboards_rely_on_is_there(metrics):
    assert set(NAMED) <= {metric.name for metric in metrics.registry.collect()}


def test_breaker_is_shown_before_its_first_call(metrics):
    (breaker,) = new_breakers({"redis": PROFILES["redis"]}, observers=(metrics.breakers,))
    breaker.force_open(for_s=None)
    breaker.reset()
    metrics.breakers.watch(breaker)
    assert value(metrics, "circuit_breaker_state", **REDIS) == 0
    assert value(metrics, "circuit_breaker_failures_total", **REDIS) == 0
    assert value(metrics, "circuit_breaker_requests_total", **REDIS, outcome="rejected") == 0


def test_prices_are_told_by_source_and_by_reason(metrics):
    passed = (Source.DATABASE, FallbackReason.BREAKER_OPEN)
    metrics.reads.answered(Source.REDIS, None, 2_500)
    metrics.reads.answered(*passed, 2_501, times=2)
    metrics.reads.answered(*passed, 9_000_000)
    metrics.reads.answered(Source.DEFAULT, FallbackReason.REDIS_MISS, None)
    assert value(metrics, "answer_source_total", source="redis") == 1
    assert value(metrics, "answer_source_total", source="database") == 3
    used = value(metrics, "fallback_usage_total", source="database", reason="breaker_open")
    assert used == 3
    within = [value(metrics, "answer_age_seconds_bucket", le=le) for le in ("1.0", "2.5", "5.0")]
    assert within == [0, 1, 3]
    assert value(metrics, "answer_age_seconds_bucket", le="+Inf") == 4
    assert value(metrics, "answer_age_seconds_sum") == pytest.approx(9_007.502)


def test_unknown_method_makes_no_new_series(metrics):
    for method in ("GET", "BREW", "STEEP"):
        metrics.reads.request("/health", method, 405, 0.003)
    count = "http_request_duration_seconds_count"
    labels = {"route": "/health", "status": "405"}
    assert value(metrics, count, method="OTHER", **labels) == 2
    assert value(metrics, count, method="GET", **labels) == 1
    assert b'le="0.005",method="GET"' in generate_latest(metrics.registry)
