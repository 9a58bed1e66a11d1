"""When a breaker opens, how long it waits, and what closes it again."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from fallback.config_check import check_field


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerConfig:
    """Every parameter of one breaker. Rates and jitter are shares (0 to 1), times seconds.

    Raises `ValueError` naming the field and the bad value.
    """

    window_s: float = 10.0
    """Calls this recent decide."""
    buckets: int = 10
    """The window slides in steps of `window_s / buckets`."""
    minimum_number_of_calls: int = 20
    """Fewer calls in the window decide nothing: one failure at night is no outage."""
    failure_rate_threshold: float = 0.5
    slow_call_rate_threshold: float = 0.8
    slow_call_duration_s: float = 0.08
    wait_duration_in_open_s: float = 1.0
    """First wait; each opening that follows soon after the last one doubles it."""
    wait_growth: float = 2.0
    max_wait_duration_in_open_s: float = 15.0
    """Greatest wait. A breaker that stays closed for as long starts again with the first wait."""
    wait_jitter: float = 0.2
    """Waits vary by this share either way, so that replicas do not probe in step."""
    permitted_calls_in_half_open: int = 5
    """Probes that make a verdict: n of "k of n"."""
    required_successes_in_half_open: int = 4
    """Probes that must succeed: k. One flaky probe then does not open it again."""
    max_concurrent_probes: int = 2
    probe_lease_s: float = 0.25
    """A probe without a result after so long has failed: a hung one cannot wedge the breaker."""

    def __post_init__(self) -> None:
        """Check every range."""
        for field in fields(self):
            check_field(self, field.name, math.isfinite(getattr(self, field.name)))
        positive = (
            "window_s",
            "buckets",
            "minimum_number_of_calls",
            "slow_call_duration_s",
            "wait_duration_in_open_s",
            "permitted_calls_in_half_open",
            "required_successes_in_half_open",
            "max_concurrent_probes",
            "probe_lease_s",
        )
        for name in positive:
            check_field(self, name, getattr(self, name) > 0)
        for name in ("failure_rate_threshold", "slow_call_rate_threshold"):
            check_field(self, name, 0 < getattr(self, name) <= 1)
        check_field(self, "wait_growth", self.wait_growth >= 1)
        check_field(self, "wait_jitter", 0 <= self.wait_jitter < 1)
        longest = self.max_wait_duration_in_open_s
        check_field(self, "max_wait_duration_in_open_s", longest >= self.wait_duration_in_open_s)
        needed = self.required_successes_in_half_open
        check_field(
            self, "required_successes_in_half_open", needed <= self.permitted_calls_in_half_open
        )

    def longest_wait_s(self) -> float:
        """No wait is longer than this: the cap with its jitter."""
        return self.max_wait_duration_in_open_s * (1 + self.wait_jitter)
