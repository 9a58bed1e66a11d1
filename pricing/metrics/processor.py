"""Every metric of the zone processor: name, labels and meaning in one place."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from pricing.metrics.api import new_registry
from pricing.surge.city import CityStates
from pricing.surge.events import Disposition

_MISDATED = Disposition.OVERDUE | Disposition.FUTURE
"""Flags that stand beside what became of a record."""


class ProcessorMetrics:
    """The zone processor's registry."""

    def __init__(self) -> None:
        registry = new_registry()
        self.registry = registry
        self._records = Counter(
            "records_read_total",
            "Records of the input topics by type and what became of them.",
            ["type", "outcome"],
            registry=registry,
        )
        self._dates = Counter(
            "records_misdated_total",
            "Records that were late for a tick already computed (overdue) or dated ahead of "
            "their arrival (future).",
            ["type", "how"],
            registry=registry,
        )
        self._ticks = Counter(
            "ticks_computed_total", "City ticks computed, by signal.", ["signal"], registry=registry
        )
        self._tick_lag = Histogram(
            "tick_lag_seconds",
            "Time from a tick's instant until its states were computed.",
            buckets=(0.3, 0.35, 0.4, 0.5, 0.75, 1, 2.5, 5, 15, 60, 300, 3600),
            registry=registry,
        )
        self._zones = Counter(
            "zone_states_total",
            "Zone states computed, by whether they went to the history.",
            ["written"],
            registry=registry,
        )
        self._pending = Gauge(
            "output_pending_ticks",
            "City ticks that wait for an output.",
            ["output"],
            registry=registry,
        )
        self._dropped = Gauge(
            "output_dropped_ticks",
            "City ticks given up since the start, for an output that was away over an hour.",
            ["output"],
            registry=registry,
        )

    def read(self, event_type: str, disposition: Disposition | None) -> None:
        """Count one record; None for one that could not be read."""
        if disposition is None:
            self._records.labels(event_type, "dead_lettered").inc()
            return
        for flag in disposition:
            name = (flag.name or "").lower()
            if flag in _MISDATED:
                self._dates.labels(event_type, name).inc()
            else:
                self._records.labels(event_type, name).inc()

    def ticked(self, city: CityStates, *, lag_ms: int) -> None:
        """Count one tick of one city, computed so long after its instant."""
        self._ticks.labels(city.signal).inc()
        self._tick_lag.observe(lag_ms / 1000)
        self._zones.labels("yes").inc(len(city.changed))
        self._zones.labels("no").inc(len(city.states) - len(city.changed))

    def waits(self, output: str, *, pending: int, dropped_total: int) -> None:
        """Note what waits for an output, and what was given up since the start."""
        self._pending.labels(output).set(pending)
        self._dropped.labels(output).set(dropped_total)
