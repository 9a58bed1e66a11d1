"""Measures the running demo: rates over the last seconds, a view, the summary."""

from __future__ import annotations

from collections import deque
from typing import Final

from pricing.demo.price_reader import PriceReader
from pricing.demo.summary import Summary
from pricing.demo.view import View, busiest
from pricing.local.delivery_check import DeliveryCheck
from pricing.local.feed import Feed

_OVER_S: Final = 5.0


class DemoStats:
    """Reads the counters of the demo's parts. Times are on the monotonic clock, in seconds."""

    def __init__(self, feed: Feed, reader: PriceReader, delivery_check: DeliveryCheck) -> None:
        self._feed = feed
        self._reader = reader
        self._delivery_check = delivery_check
        self._samples: deque[tuple[float, int, int]] = deque()
        self._ready_at = 0.0

    def start(self, now_s: float) -> None:
        """The demo is ready: answers count from now on."""
        self._ready_at = now_s
        self._reader.start_counting()
        self._samples.clear()
        self._rates(now_s)

    def view(self, now_s: float, *, city_time: str, note: str) -> View:
        """How things are now."""
        events_per_s, prices_per_s = self._rates(now_s)
        answers = self._reader.answers.values()
        counts = self._reader.counts
        return View(
            elapsed_s=now_s - self._ready_at,
            city_time=city_time,
            mode=self._reader.mode,
            rows=busiest(answers),
            surged=sum(answer["data"]["surge_multiplier"] > 1 for answer in answers),
            zones=len(answers),
            events_per_s=events_per_s,
            prices_per_s=prices_per_s,
            by_source=dict(counts.by_source),
            oldest_s=max((answer["age_ms"] for answer in answers), default=0) / 1000,
            unanswered=counts.unanswered,
            accepted=self._feed.counts.accepted,
            missing=self._delivery_check.missing,
            slowest_ms=counts.slowest_ms,
            note=note,
        )

    def summary(self, now_s: float, *, on_disk: int) -> Summary:
        """The whole of it. `on_disk` are the events that still wait for Kafka."""
        # The spool also holds events that were never acknowledged, and those are no loss.
        kept = min(on_disk, self._delivery_check.missing)
        counts, fed = self._reader.counts, self._feed.counts
        return Summary(
            elapsed_s=now_s - self._ready_at,
            events_in=fed.accepted,
            withdrawn=fed.withdrawn,
            refused=fed.refused,
            prices_out=counts.answers,
            by_source=dict(counts.by_source),
            unanswered=counts.unanswered,
            kept=kept,
            lost=self._delivery_check.missing - kept,
            unchecked=self._delivery_check.unchecked,
            slowest_ms=counts.slowest_ms,
        )

    def _rates(self, now_s: float) -> tuple[float, float]:
        now = (now_s, self._feed.counts.accepted, self._reader.counts.answers)
        self._samples.append(now)  # a few: one a view, for five seconds
        while now_s - self._samples[0][0] > _OVER_S:
            self._samples.popleft()
        then = self._samples[0]
        passed_s = now[0] - then[0]
        if passed_s <= 0:
            return 0.0, 0.0
        return (now[1] - then[1]) / passed_s, (now[2] - then[2]) / passed_s
