"""The metrics of the zone processor."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pricing.metrics.registry import counter, gauge, histogram, new_registry, register
from pricing.surge.city import CityStates
from pricing.surge.events import Disposition

_MISDATED = Disposition.OVERDUE | Disposition.FUTURE
"""Facts beside what became of a record."""


def new_processor_metrics() -> ProcessorMetrics:
    """The metrics of a processor, in a registry of their own."""
    registry = new_registry()
    return register(ProcessorMetrics, registry, registry=registry)


@dataclass(slots=True, kw_only=True)
class ProcessorMetrics:
    """The zone processor's registry, and what feeds it."""

    registry: CollectorRegistry
    records: Counter = counter(
        "records_read_total",
        "Records of the input topics by type and what became of them.",
        "type",
        "outcome",
    )
    misdated: Counter = counter(
        "records_misdated_total",
        "Records that were late for a tick already computed (overdue) or dated ahead of "
        "their arrival (future).",
        "type",
        "how",
    )
    ticks: Counter = counter("ticks_computed_total", "City ticks computed, by signal.", "signal")
    tick_lag: Histogram = histogram(
        "tick_lag_seconds",
        "Time from a tick's instant until its states were computed.",
        buckets=(0.3, 0.35, 0.4, 0.5, 0.75, 1, 2.5, 5, 15, 60, 300, 3600),
    )
    zones: Counter = counter(
        "zone_states_total",
        "Zone states computed, by whether they went to the history.",
        "written",
    )
    pending: Gauge = gauge("output_pending_ticks", "City ticks that wait for an output.", "output")
    dropped: Gauge = gauge(
        "output_dropped_ticks",
        "City ticks given up since the start, for an output that was away over an hour.",
        "output",
    )

    def read(self, event_type: str, disposition: Disposition | None) -> None:
        """Count one record; None for one that could not be read."""
        if disposition is None:
            self.records.labels(event_type, "dead_lettered").inc()
            return
        for flag in disposition:
            name = (flag.name or "").lower()
            if flag in _MISDATED:
                self.misdated.labels(event_type, name).inc()
            else:
                self.records.labels(event_type, name).inc()

    def ticked(self, city: CityStates, *, lag_ms: int) -> None:
        """Count one tick of one city; `lag_ms`: how long after its instant it was computed."""
        self.ticks.labels(city.signal).inc()
        self.tick_lag.observe(lag_ms / 1000)
        self.zones.labels("yes").inc(len(city.changed))
        self.zones.labels("no").inc(len(city.states) - len(city.changed))

    def waits(self, output: str, *, pending: int, dropped_total: int) -> None:
        """Note what waits for an output, and what was given up since the start."""
        self.pending.labels(output).set(pending)
        self.dropped.labels(output).set(dropped_total)
