"""A circuit breaker as JSON: in short for operators' lists, in full for their health pages."""

from __future__ import annotations

from typing import Any

from fallback.breaker import CircuitBreaker
from streaming.events.event_types import rfc3339


def breaker_summary_json(breaker: CircuitBreaker) -> dict[str, Any]:
    """One entry of `GET /admin/reliability/circuit-breakers`."""
    snapshot = breaker.snapshot()
    retry_after_s = snapshot.retry_after_s
    return {
        "service": breaker.name,
        "state": snapshot.state.value,
        "calls": snapshot.counts.calls,
        "failures": snapshot.counts.failures,
        "failure_rate": round(snapshot.counts.failure_rate, 4),
        "successes_total": snapshot.successes_total,
        "failures_total": snapshot.failures_total,
        "rejected_total": snapshot.rejected_total,
        "retry_after_s": None if retry_after_s is None else round(retry_after_s, 3),
    }


def breaker_json(breaker: CircuitBreaker, now_ms: int) -> dict[str, Any]:
    """One entry of `GET /health/circuit-breakers`, with the names of its contract."""
    snapshot = breaker.snapshot()
    return {
        "state": snapshot.state.value,
        "counts": {
            "requests": snapshot.successes_total
            + snapshot.failures_total
            + snapshot.rejected_total,
            "totalSuccesses": snapshot.successes_total,
            "totalFailures": snapshot.failures_total,
            "slow": snapshot.slow_total,
            "rejects": snapshot.rejected_total,
            "late": snapshot.late_total,
            "hungProbes": snapshot.leases_expired_total,
        },
        "window": {
            "calls": snapshot.counts.calls,
            "failures": snapshot.counts.failures,
            "slow": snapshot.counts.slow,
            "failureRate": round(snapshot.counts.failure_rate, 4),
            "slowCallRate": round(snapshot.counts.slow_call_rate, 4),
        },
        # The breaker keeps monotonic time, which a person cannot read: this is the wall's.
        "last_state_change": rfc3339(now_ms - int(breaker.unchanged_for_s() * 1000)),
        "retry_after_s": snapshot.retry_after_s,
    }
