"""What a scrape is told of the way to Kafka."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from fallback.pump import Alarm, PumpState
from fallback.spool import SpoolState
from pricing.metrics.registry import register
from pricing.metrics.spool import SpoolMetrics


@dataclass
class Spool:
    state: SpoolState = SpoolState.HEALTHY
    records: int = 7
    bytes: int = 700
    quota_bytes: int = 10_000
    free_bytes: int = 50_000
    oldest_age_ms: int | None = 2_500
    unsynced_records: int = 1
    sync_errors: int = 2
    corrupt_records: int = 3
    corrupt_bytes: int = 30
    holes: int = 1


@dataclass
class Pump:
    state: PumpState = PumpState.SPOOLING
    rate: float = 50.0
    alarms: list[Alarm] = field(default_factory=lambda: [Alarm("parked", "rides", "late", "7")])


@dataclass
class Scraped:
    """A registry over a spool and a pump whose figures the test sets."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    spool: Spool = field(default_factory=Spool)
    pump: Pump = field(default_factory=Pump)
    renewals: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.metrics = register(SpoolMetrics, self.registry)
        self.registry.register(self.metrics.status)

    def watch(self) -> None:
        self.metrics.status.watch(lambda: self.spool, lambda: self.pump, self.renewals)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def scraped() -> Scraped:
    return Scraped()


def test_status_without_a_spool_is_zero(scraped):
    assert scraped.value("spool_bytes") == scraped.value("spool_holes_total") == 0.0
    assert scraped.value("spool_events", state="pending") is None


def test_status_is_that_of_the_scrape(scraped):
    scraped.watch()
    assert scraped.value("spool_events", state="pending") == 7
    assert scraped.value("spool_oldest_unsent_seconds") == 2.5
    assert scraped.value("pump_rate_events") == 50
    scraped.spool = Spool(records=0, oldest_age_ms=None)
    assert scraped.value("spool_events", state="pending") == 0
    assert scraped.value("spool_oldest_unsent_seconds") == 0


def test_state_is_one_of_all_states(scraped):
    scraped.watch()
    for name, states, now in (
        ("spool_state", SpoolState, SpoolState.HEALTHY),
        ("pump_state", PumpState, PumpState.SPOOLING),
    ):
        assert {state: scraped.value(name, state=state.value) for state in states} == {
            state: float(state is now) for state in states
        }


def test_alarm_is_counted_until_it_falls(scraped):
    scraped.watch()
    assert scraped.value("pump_alarms", kind="parked") == 1
    assert scraped.value("pump_alarms", kind="stalled") == 0
    scraped.pump.alarms = []
    assert scraped.value("pump_alarms", kind="parked") == 0


def test_totals_are_counters_of_the_spool(scraped):
    scraped.watch()
    scraped.renewals["fenced"] = 2
    assert scraped.value("spool_sync_errors_total") == 2
    assert scraped.value("spool_corrupt_events_total") == 3
    assert scraped.value("producer_renewals_total", cause="fenced") == 2
