"""A system mode whose inputs a test sets; nothing of it runs by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from fallback.breaker import BreakerRegistry
from fallback.mode import Level, Reading
from fallback.mode.orchestrator import Orchestrator
from fallback.pump import PumpState
from pricing.health.passive import HealthSource
from pricing.health.ramps import Ramps
from pricing.metrics.modes import ModeMetrics
from pricing.metrics.registry import register
from pricing.metrics.request_stats import RequestStats
from pricing.mode.current import CurrentPolicy, SystemMode
from pricing.mode.fleet import Fleet
from pricing.mode.inputs import mode_config
from pricing.mode.journal import ModeJournal
from pricing.mode.minute_totals import MinuteTotals
from pricing.mode.policy import policies
from pricing.mode.report import totals_of
from pricing.mode.signals import Backlog
from pricing.ports import Publisher
from pricing.reading.policy import ReadPolicy
from streaming.consuming.records import ConsumedRecord
from tests.support.fake_clock import FakeClocks

CONFIG = mode_config(tick_s=5, up_dwell_s=3, down_dwell_s=60)
BACKLOG = Backlog(pump=PumpState.HEALTHY, percent=0.0, records=0, bytes=0, oldest_age_s=0.0)


@dataclass
class Shown:
    """What the inputs show, and the clocks of the mode."""

    clocks: FakeClocks = field(default_factory=FakeClocks)
    readings: dict[str, Reading] = field(default_factory=dict)

    def read(self, name: str) -> Reading:
        scaled = next(spec for spec in CONFIG.inputs if spec.name == name).scale is not None
        return self.readings.get(name) or Reading(value=0.0 if scaled else "well")

    def show(self, name: str, level: Level) -> None:
        """Let an input that brings its levels show one, as a hard fact."""
        self.readings[name] = Reading(
            value=f"{name} is {level.word}", entered=level, kept=level, is_hard=True
        )


class SilentTail:
    """The tail of a topic that nothing comes to."""

    async def read(self, timeout_s: float) -> list[ConsumedRecord]:
        return []


@dataclass
class SteppedMode:
    """A mode that moves when the test calls `orchestrator.step`."""

    system: SystemMode
    orchestrator: Orchestrator
    journal: ModeJournal
    policy: CurrentPolicy


def stepped_mode(
    *,
    breakers: BreakerRegistry,
    health: HealthSource,
    publisher: Publisher,
    now_ms: Callable[[], int],
    read: ReadPolicy | None = None,
    shown: Shown | None = None,
    directory: Path | None = None,
    stats: RequestStats | None = None,
) -> SteppedMode:
    shown = shown or Shown()
    policy = CurrentPolicy(policies(read or ReadPolicy(), 50_000))
    journal = ModeJournal("api-1", publisher, now_ms=now_ms)
    metrics = register(ModeMetrics, CollectorRegistry(), shares=dict)
    totals = MinuteTotals(totals_of(stats or RequestStats(), breakers), shown.clocks.now_s())
    readers = {spec.name: lambda _now_s, name=spec.name: shown.read(name) for spec in CONFIG.inputs}
    orchestrator = Orchestrator(
        CONFIG,
        readers,
        directory=directory,
        observers=(policy, journal, metrics, totals),
        now_s=shown.clocks.now_s,
        wall_s=shown.clocks.wall_s,
        boot_id="boot",
    )
    system = SystemMode(
        orchestrator,
        journal=journal,
        fleet=Fleet(SilentTail(), now_ms=now_ms),
        totals=totals,
        metrics=metrics,
        breakers=breakers,
        health=health,
        ramps=Ramps({"redis": 0.08, "database": 0.3}),
        read_backlog=lambda: BACKLOG,
        now_ms=now_ms,
    )
    return SteppedMode(system, orchestrator, journal, policy)
