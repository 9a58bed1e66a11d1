from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from fallback.breaker import PROFILES
from pricing.errors import DependencyUnavailable
from pricing.health.breaker_log import BreakerLog
from pricing.reading.guarded_store import new_breakers


@pytest.fixture
def redis():
    config = replace(PROFILES["redis"], minimum_number_of_calls=4)
    return new_breakers({"redis": config}, observers=(BreakerLog(),))["redis"]


def test_opened_breaker_is_logged_with_failure_rate(redis):
    with capture_logs() as lines:
        for failure in (None, *[DependencyUnavailable("redis", "refused")] * 3):
            redis.settle(redis.acquire(), failure)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("circuit breaker opened", "warning")
    assert (line["breaker"], line["failure_rate"], line["calls"]) == ("redis", 0.75, 4)
    assert (line["old_state"], line["new_state"]) == ("CLOSED", "OPEN")


def test_operators_hand_and_its_end_are_told(redis):
    with capture_logs() as lines:
        redis.force_open(for_s=None)
        redis.reset()
    assert [line["event"] for line in lines] == [
        "circuit breaker set by an operator",
        "circuit breaker closed",
    ]
