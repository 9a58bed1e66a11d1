"""The metrics of the write path, as an observer of the spool and of the pump."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fallback.pump import Alarm, PumpState, PumpStats
from fallback.pump.dead_letters import DeadLetterStats
from fallback.pump.sink import SinkFailure
from fallback.spool import SpoolState, SpoolStats

_COMMIT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
_SEND_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 300)
_BATCH = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
_RECOVERY_S = (1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
_KINDS = ("parked", "stalled", "lost_records")


class SpoolMetrics:
    """The part of the API's registry that tells of the way to Kafka."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, buckets=buckets, registry=registry)

        self._events = gauge("spool_events", "Events in the spool: pending for Kafka.", "state")
        self._unsynced = gauge(
            "spool_unsynced_events", "Acknowledged events that a power cut would lose now."
        )
        self._bytes = gauge("spool_bytes", "Taken by events on the disk.")
        self._quota = gauge("spool_quota_bytes", "Most that the spool may take.")
        self._free = gauge("spool_free_bytes", "Free space of the spool's volume.")
        self._oldest = gauge(
            "spool_oldest_unsent_seconds", "Age of the oldest event that Kafka does not have."
        )
        self._spool_state = gauge("spool_state", "1 for the state that the spool is in.", "state")
        self._pump_state = gauge("pump_state", "1 for the state that delivery is in.", "state")
        self._alarms = gauge("pump_alarms", "Alarms that stand, by kind.", "kind")
        self._rate = gauge("pump_rate_events", "Events a second that may be sent now.")
        self._commit_s = histogram(
            "spool_commit_duration_seconds", "Write and sync of one group commit.", _COMMIT_S
        )
        self._commit_events = histogram(
            "spool_commit_events", "Events of one group commit.", _BATCH
        )
        self._append_s = histogram(
            "spool_append_duration_seconds", "From an append to its commit.", _COMMIT_S
        )
        self._send_s = histogram(
            "pump_send_duration_seconds", "From a batch to its acknowledgement.", _SEND_S
        )
        self._recovery_s = histogram(
            "pump_recovery_seconds", "From the begin of an outage to an empty spool.", _RECOVERY_S
        )
        self._sent = counter("replayed_events", "Events that Kafka acknowledged to the pump.")
        self._failures = counter(
            "pump_failures", "Batches that Kafka did not acknowledge.", "kind", "code"
        )
        self._risk = counter("duplicate_risk_events", "Events sent again after an unknown outcome.")
        self._renewals = counter("producer_renewals", "Producers given up, by cause.", "cause")
        self._sync_errors = counter("spool_sync_errors", "Syncs that the disk refused.")
        self._corrupt = counter("spool_corrupt_events", "Events lost to damage on the disk.")
        self._corrupt_bytes = counter("spool_corrupt_bytes", "Damaged bytes on the disk.")
        self._holes = counter("spool_holes", "Stretches of events lost to damage on the disk.")
        self._letters = gauge(
            "dlq_messages_total", "Dead letters on the disk, by error class.", "error_class"
        )
        self._letters_added = counter(
            "dlq_messages_added", "Events that became dead letters, by error class.", "error_class"
        )
        self._burial_s = histogram(
            "dlq_processing_duration_seconds", "One round of putting dead letters back.", _SEND_S
        )
        self._told: Tally[str] = Tally()
        self._told_renewals: Tally[str] = Tally()

    def on_commit(self, records: int, size: int, duration_s: float) -> None:
        del size
        self._commit_s.observe(duration_s)
        self._commit_events.observe(records)

    def on_state_change(self, old: SpoolState | PumpState, new: SpoolState | PumpState) -> None:
        """Nothing: `refresh` shows the states."""

    def on_damage(self, damage: object) -> None:
        """Nothing: `refresh` shows the totals."""

    def on_sent(self, records: int, size: int, duration_s: float) -> None:
        del size
        self._sent.inc(records)
        self._send_s.observe(duration_s)

    def on_failure(self, failure: SinkFailure, records: int) -> None:
        self._failures.labels(type(failure).__name__, failure.code).inc()
        if failure.may_be_delivered:
            self._risk.inc(records)

    def on_dead_letter(self, failure: SinkFailure) -> None:
        self._letters_added.labels(failure.code).inc()

    def on_recovered(self, outage_s: float) -> None:
        self._recovery_s.observe(outage_s)

    def on_alarm(self, alarm: Alarm, is_raised: bool) -> None:
        """Nothing: `refresh` shows those that stand."""

    def appended(self, duration_s: float) -> None:
        """Count one append that was committed."""
        self._append_s.observe(duration_s)

    def put_back(self, duration_s: float) -> None:
        """Count a round of putting dead letters back."""
        self._burial_s.observe(duration_s)

    def refresh(self, spool: SpoolStats, pump: PumpStats, renewals: Mapping[str, int]) -> None:
        """Show the figures of this moment."""
        self._events.labels("pending").set(spool.records)
        self._unsynced.set(spool.unsynced_records)
        self._bytes.set(spool.bytes)
        self._quota.set(spool.quota_bytes)
        self._free.set(spool.free_bytes)
        self._oldest.set((spool.oldest_age_ms or 0) / 1000)
        self._rate.set(pump.rate)
        for state in SpoolState:
            self._spool_state.labels(state.value).set(state is spool.state)
        for phase in PumpState:
            self._pump_state.labels(phase.value).set(phase is pump.state)
        kinds = Tally(alarm.kind for alarm in pump.alarms)
        for kind in _KINDS:
            self._alarms.labels(kind).set(kinds[kind])
        self._catch_up(spool)
        for cause, count in renewals.items():
            self._renewals.labels(cause).inc(count - self._told_renewals[cause])
            self._told_renewals[cause] = count

    def show_letters(self, letters: DeadLetterStats) -> None:
        """Show what the box of dead letters holds."""
        self._letters.clear()
        for error_class, count in letters.by_class.items():
            self._letters.labels(error_class).set(count)

    def _catch_up(self, spool: SpoolStats) -> None:
        """Add to the counters what the spool counted since the last time."""
        totals = (
            (self._sync_errors, "sync_errors", spool.sync_errors),
            (self._corrupt, "corrupt_records", spool.corrupt_records),
            (self._corrupt_bytes, "corrupt_bytes", spool.corrupt_bytes),
            (self._holes, "holes", spool.holes),
        )
        for metric, name, total in totals:
            metric.inc(max(0, total - self._told[name]))
            self._told[name] = total
