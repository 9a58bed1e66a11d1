"""The metrics of the way to Kafka: what happens there, and how it stands at each scrape."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from prometheus_client import Counter, Gauge, Histogram, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from fallback.pump import Alarm, PumpState, PumpStats
from fallback.pump.dead_letters import DeadLetterStats
from fallback.pump.sink import SinkFailure
from fallback.spool import SpoolState, SpoolStats
from pricing.metrics.registry import counter, gauge, histogram

_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_SEND_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300)
_BATCH = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
_RECOVERY_S = (1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_ALARMS = ("parked", "stalled", "lost_records")


class _Figure(NamedTuple):
    kind: Literal["gauge", "counter"]
    name: str
    meaning: str
    read: Callable[[SpoolStats], float]


_FIGURES = (
    _Figure(
        "gauge",
        "spool_unsynced_events",
        "Acknowledged events that a power cut would lose now.",
        lambda spool: spool.unsynced_records,
    ),
    _Figure("gauge", "spool_bytes", "Taken by events on the disk.", lambda spool: spool.bytes),
    _Figure(
        "gauge",
        "spool_quota_bytes",
        "Most that the spool may take.",
        lambda spool: spool.quota_bytes,
    ),
    _Figure(
        "gauge",
        "spool_free_bytes",
        "Free space of the spool's volume.",
        lambda spool: spool.free_bytes,
    ),
    _Figure(
        "gauge",
        "spool_oldest_unsent_seconds",
        "Age of the oldest event that Kafka does not have.",
        lambda spool: (spool.oldest_age_ms or 0) / 1000,
    ),
    _Figure(
        "counter",
        "spool_sync_errors",
        "Syncs that the disk refused.",
        lambda spool: spool.sync_errors,
    ),
    _Figure(
        "counter",
        "spool_corrupt_events",
        "Events lost to damage on the disk.",
        lambda spool: spool.corrupt_records,
    ),
    _Figure(
        "counter",
        "spool_corrupt_bytes",
        "Damaged bytes on the disk.",
        lambda spool: spool.corrupt_bytes,
    ),
    _Figure(
        "counter",
        "spool_holes",
        "Stretches of events lost to damage on the disk.",
        lambda spool: spool.holes,
    ),
)
"""What a spool tells without labels; 0 where there is no spool."""
_FAMILIES = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}


class _Sources(NamedTuple):
    spool: Callable[[], SpoolStats]
    pump: Callable[[], PumpStats]
    renewals: Mapping[str, int]


class SpoolStatus(Collector):
    """How spool and pump stand when a scrape asks. One event loop counts and is scraped."""

    def __init__(self) -> None:
        self._sources: _Sources | None = None

    def watch(
        self,
        spool: Callable[[], SpoolStats],
        pump: Callable[[], PumpStats],
        renewals: Mapping[str, int],
    ) -> None:
        """Show these from now on. `renewals`: producers given up so far, by cause."""
        self._sources = _Sources(spool, pump, renewals)

    def collect(self) -> Iterable[Metric]:
        spool = None if self._sources is None else self._sources.spool()
        pump = None if self._sources is None else self._sources.pump()
        for kind, name, meaning, read in _FIGURES:
            yield _FAMILIES[kind](name, meaning, value=0.0 if spool is None else read(spool))
        pending = {} if spool is None else {"pending": spool.records}
        yield _by("spool_events", "Events in the spool: pending for Kafka.", "state", pending)
        yield _by("spool_state", "1 for the state that the spool is in.", "state", _of(spool))
        yield _by("pump_state", "1 for the state that delivery is in.", "state", _of(pump))
        raised = Tally(alarm.kind for alarm in pump.alarms) if pump else Tally()
        alarms = {} if pump is None else {kind: raised[kind] for kind in _ALARMS}
        yield _by("pump_alarms", "Alarms that stand, by kind.", "kind", alarms)
        yield GaugeMetricFamily(
            "pump_rate_events", "Events a second that may be sent now.", pump.rate if pump else 0.0
        )
        renewals = CounterMetricFamily(
            "producer_renewals", "Producers given up, by cause.", labels=["cause"]
        )
        for cause, count in self._sources.renewals.items() if self._sources else ():
            renewals.add_metric([cause], count)
        yield renewals

    describe = collect
    """What the registry checks names by."""


def _by(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=[label])
    for text, value in values.items():
        family.add_metric([text], value)
    return family


def _of(stats: SpoolStats | PumpStats | None) -> Mapping[str, float]:
    """1 at the present state, 0 at every other; nothing where there is none."""
    if stats is None:
        return {}
    return {state.value: state is stats.state for state in type(stats.state)}


@dataclass(slots=True)
class SpoolMetrics:
    """What happens on the way to Kafka, as an observer of spools and of pumps.

    Adopted spools are observed too. States and totals are of the process's own spool alone: they
    are read from it at each scrape (`status`), and their hooks here do nothing.
    """

    commit_s: Histogram = histogram(
        "spool_commit_duration_seconds", "Write and sync of one group commit.", buckets=_COMMIT_S
    )
    commit_events: Histogram = histogram(
        "spool_commit_events", "Events of one group commit.", buckets=_BATCH
    )
    append_s: Histogram = histogram(
        "spool_append_duration_seconds", "From an append to its commit.", buckets=_COMMIT_S
    )
    send_s: Histogram = histogram(
        "pump_send_duration_seconds", "From a batch to its acknowledgement.", buckets=_SEND_S
    )
    recovery_s: Histogram = histogram(
        "pump_recovery_seconds",
        "From the begin of an outage to an empty spool.",
        buckets=_RECOVERY_S,
    )
    replayed: Counter = counter("replayed_events", "Events that Kafka acknowledged to the pump.")
    failures: Counter = counter(
        "pump_failures", "Batches that Kafka did not acknowledge.", "kind", "code"
    )
    duplicate_risk: Counter = counter(
        "duplicate_risk_events", "Events sent again after an unknown outcome."
    )
    dead_letters: Gauge = gauge(
        "dlq_messages_total", "Dead letters on the disk, by error class.", "error_class"
    )
    dead_lettered: Counter = counter(
        "dlq_messages_added", "Events that became dead letters, by error class.", "error_class"
    )
    dead_letter_rounds_s: Histogram = histogram(
        "dlq_processing_duration_seconds",
        "One round of putting dead letters back.",
        buckets=_SEND_S,
    )
    status: SpoolStatus = field(default_factory=SpoolStatus)

    def on_commit(self, records: int, size: int, duration_s: float) -> None:
        del size
        self.commit_s.observe(duration_s)
        self.commit_events.observe(records)

    def on_state_change(self, old: SpoolState | PumpState, new: SpoolState | PumpState) -> None: ...

    def on_damage(self, damage: object) -> None: ...

    def on_alarm(self, alarm: Alarm, is_raised: bool) -> None: ...

    def on_sent(self, records: int, size: int, duration_s: float) -> None:
        del size
        self.replayed.inc(records)
        self.send_s.observe(duration_s)

    def on_failure(self, failure: SinkFailure, records: int) -> None:
        self.failures.labels(type(failure).__name__, failure.code).inc()
        if failure.may_be_delivered:
            self.duplicate_risk.inc(records)

    def on_dead_letter(self, failure: SinkFailure) -> None:
        self.dead_lettered.labels(failure.code).inc()

    def on_recovered(self, outage_s: float) -> None:
        self.recovery_s.observe(outage_s)

    def appended(self, duration_s: float) -> None:
        """Count one append that was committed."""
        self.append_s.observe(duration_s)

    def put_back(self, duration_s: float) -> None:
        """Count a round of putting dead letters back."""
        self.dead_letter_rounds_s.observe(duration_s)

    def show_letters(self, letters: DeadLetterStats) -> None:
        """Show what the box of dead letters holds: a scrape does not read the disk for it."""
        self.dead_letters.clear()
        for error_class, count in letters.by_class.items():
            self.dead_letters.labels(error_class).set(count)
