"""The metrics of an API process: one registry, and what feeds it, by subject."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import Counter

from pricing.metrics.dependencies import (
    BreakerMetrics,
    BulkheadMetrics,
    CallMetrics,
    ProbeMetrics,
    RetryMetrics,
    SharedReadMetrics,
)
from pricing.metrics.reads import ReadMetrics, RefreshMetrics
from pricing.metrics.registry import counter, new_registry, register
from pricing.metrics.spool import SpoolMetrics


@dataclass(slots=True)
class IngestMetrics:
    """Events that come in over HTTP."""

    events: Counter = counter(
        "events_published_total",
        "Events taken in over HTTP: sent (Kafka has them), buffered (durable here), failed.",
        "topic",
        "status",
    )

    def published(self, topic: str, status: str, events: int = 1) -> None:
        self.events.labels(topic, status).inc(events)


class Metrics:
    """The API's registry. Nothing is global: two can live in one process.

    The mode's part, `ModeMetrics`, is made with the mode.
    """

    def __init__(self) -> None:
        self.registry = new_registry()
        self.reads = ReadMetrics()
        self.registry.register(self.reads)
        self.stats = self.reads.stats
        self.refreshes = register(RefreshMetrics, self.registry)
        self.ingest = register(IngestMetrics, self.registry)
        self.spool = register(SpoolMetrics, self.registry)
        self.registry.register(self.spool.status)
        self.calls = register(CallMetrics, self.registry)
        self.retries = register(RetryMetrics, self.registry)
        self.shared_reads = register(SharedReadMetrics, self.registry)
        self.breakers = register(BreakerMetrics, self.registry)
        self.bulkheads = register(BulkheadMetrics, self.registry)
        self.probes = register(ProbeMetrics, self.registry)
