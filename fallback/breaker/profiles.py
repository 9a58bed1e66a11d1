"""Breaker configurations by name, and the text form in which settings give one.

The first five are this service's own, one a kind of dependency. Their longest waits are those
that operators know from elsewhere (cache 10 s, database 15 s, auth 20 s, external 30 s), reached
by growing: the first wait is short, for most outages are. The others are for an operator who
wants the fixed figures of a runbook instead (a setting names any of them): "n failures in m
calls" as a rate over at least m calls, and a wait that does not grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from fallback.breaker.config import BreakerConfig


def _fixed(
    *, calls: int, rate: float, window_s: float, wait_s: float, slow_s: float, probes: int = 3
) -> BreakerConfig:
    """Opens at a failure rate, waits the same each time, closes after `probes` successes."""
    return BreakerConfig(
        window_s=window_s,
        minimum_number_of_calls=calls,
        failure_rate_threshold=rate,
        slow_call_rate_threshold=1.0,
        slow_call_duration_s=slow_s,
        wait_duration_in_open_s=wait_s,
        wait_growth=1.0,
        max_wait_duration_in_open_s=wait_s,
        permitted_calls_in_half_open=probes,
        required_successes_in_half_open=probes,
        max_concurrent_probes=min(2, probes),
        probe_lease_s=slow_s,
    )


PROFILES: Mapping[str, BreakerConfig] = {
    # Few calls decide, for each of them stands for a whole pipeline of reads; a short window,
    # for until half of it is failures every read pays the deadline.
    "redis": BreakerConfig(
        window_s=4.0,
        buckets=8,
        minimum_number_of_calls=5,
        max_wait_duration_in_open_s=10.0,
    ),
    "database": BreakerConfig(
        minimum_number_of_calls=5,
        slow_call_duration_s=0.3,
        wait_duration_in_open_s=2.0,
        max_wait_duration_in_open_s=15.0,
        probe_lease_s=1.0,
    ),
    "kafka": BreakerConfig(
        window_s=30.0,
        minimum_number_of_calls=3,
        slow_call_duration_s=5.0,
        wait_duration_in_open_s=2.0,
        max_wait_duration_in_open_s=15.0,
        permitted_calls_in_half_open=1,
        required_successes_in_half_open=1,
        max_concurrent_probes=1,
        probe_lease_s=10.0,
    ),
    "auth": BreakerConfig(
        window_s=30.0,
        minimum_number_of_calls=3,
        slow_call_duration_s=2.0,
        wait_duration_in_open_s=5.0,
        max_wait_duration_in_open_s=20.0,
        permitted_calls_in_half_open=2,
        required_successes_in_half_open=2,
        probe_lease_s=5.0,
    ),
    "alert": BreakerConfig(
        window_s=60.0,
        minimum_number_of_calls=3,
        slow_call_duration_s=10.0,
        wait_duration_in_open_s=5.0,
        max_wait_duration_in_open_s=30.0,
        permitted_calls_in_half_open=1,
        required_successes_in_half_open=1,
        max_concurrent_probes=1,
        probe_lease_s=15.0,
    ),
    # By the kind of dependency: 3 or 5 failures, wait 15, 10, 20, 30 s.
    "database-15s": _fixed(calls=5, rate=0.6, window_s=30, wait_s=15, slow_s=5, probes=1),
    "cache-10s": _fixed(calls=10, rate=0.5, window_s=60, wait_s=10, slow_s=5, probes=1),
    "auth-20s": _fixed(calls=5, rate=0.6, window_s=30, wait_s=20, slow_s=5, probes=1),
    "external-30s": _fixed(calls=10, rate=0.5, window_s=60, wait_s=30, slow_s=5, probes=1),
    # 5 failures of 10 calls, 60 s, 3 successes; then the same by partner, then by environment.
    "steady-60s": _fixed(calls=10, rate=0.5, window_s=100, wait_s=60, slow_s=30),
    "messaging-60s": _fixed(calls=10, rate=0.5, window_s=100, wait_s=60, slow_s=30),
    "inference-120s": _fixed(calls=6, rate=0.5, window_s=100, wait_s=120, slow_s=30),
    "store-30s": _fixed(calls=20, rate=0.5, window_s=100, wait_s=30, slow_s=30),
    "conservative": _fixed(calls=20, rate=0.5, window_s=100, wait_s=60, slow_s=30),
    "lenient": _fixed(calls=5, rate=0.8, window_s=30, wait_s=5, slow_s=5),
    "instant": _fixed(calls=1, rate=1.0, window_s=5, wait_s=0.1, slow_s=1, probes=1),
    # Half of at least 5 calls in 10 s, 3 probes; and the same with one probe and a 3 s timeout.
    "ratio-30s": _fixed(calls=5, rate=0.5, window_s=10, wait_s=30, slow_s=5),
    "rolling-30s": _fixed(calls=5, rate=0.5, window_s=10, wait_s=30, slow_s=3, probes=1),
}

_WHOLE = frozenset(field.name for field in fields(BreakerConfig) if field.type == "int")


def parse_breaker(text: str) -> BreakerConfig:
    """`redis`, or `redis, window_s=10, buckets=20`: a profile, then fields that differ.

    Raises `ValueError` naming what is wrong.
    """
    name, *changes = (part.strip() for part in text.split(","))
    profile = PROFILES.get(name)
    if profile is None:
        raise ValueError(f"no breaker profile {name!r}; there are {', '.join(PROFILES)}")
    return replace(profile, **dict(_change(change) for change in changes))


def _change(text: str) -> tuple[str, Any]:
    name, _, value = (part.strip() for part in text.partition("="))
    if name not in {field.name for field in fields(BreakerConfig)}:
        raise ValueError(f"no breaker field {name!r}")
    try:
        return name, int(value) if name in _WHOLE else float(value)
    except ValueError:
        kind = "whole number" if name in _WHOLE else "number"
        raise ValueError(f"{name}={value!r} is not a {kind}") from None
