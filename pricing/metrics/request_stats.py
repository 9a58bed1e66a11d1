"""What requests leave behind for the mode: a few counts and a sketch, at next to no cost."""

from __future__ import annotations

from fallback.sketch import LatencySketch
from pricing.model import Source

_FAILED = 500
PRICE_ROUTES = frozenset(
    ["/api/v1/zones/{zone_id}/price", "/api/v1/prices", "/api/v1/price"],
)


OTHERS = "others"
_KINDS = (("/api/v1/events/", "events"), ("/admin/", "operators"), ("/api/admin/", "operators"))


class RequestStats:
    """Counts since the process began. Time passes at `advance` alone, once a tick of the mode."""

    __slots__ = ("_now_s", "answers", "failed", "failures", "read_times", "reads", "requests")

    def __init__(self) -> None:
        self.read_times = LatencySketch()
        self.answers: dict[Source, int] = dict.fromkeys(Source, 0)
        """Prices, by where they came from."""
        self.failed = 0
        """Price requests that we failed."""
        self.reads = 0
        """Price requests."""
        self.requests: dict[str, int] = dict.fromkeys(("events", "operators", OTHERS), 0)
        """All the others, by kind."""
        self.failures = dict(self.requests)
        """Those of them that we failed."""
        self._now_s = 0.0

    def advance(self, now_s: float) -> None:
        """Let time pass, monotonic."""
        self._now_s = now_s

    def answered(self, source: Source, times: int) -> None:
        self.answers[source] += times

    def request(self, route: str, status: int, duration_s: float) -> None:
        if route in PRICE_ROUTES:
            self.reads += 1
            self.read_times.record(self._now_s, duration_s)
            if status >= _FAILED:
                self.failed += 1
            return
        kind = next((kind for start, kind in _KINDS if route.startswith(start)), OTHERS)
        self.requests[kind] += 1
        if status >= _FAILED:
            self.failures[kind] += 1
