"""Puts the system mode together over what a process has already. Opening touches nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from fallback.background import in_background
from fallback.breaker import BreakerRegistry, Transition, Verdict
from fallback.clock import Monotonic, Wall, monotonic_s, wall_s
from fallback.event_loop_lag import watching_lag
from fallback.guards.bulkhead import Bulkhead
from fallback.mode import ModeConfig
from fallback.mode.orchestrator import Orchestrator
from fallback.sketch import LatencySketch
from fallback.spool import SpoolState
from pricing.health.passive import HealthSource
from pricing.health.ramps import Ramps
from pricing.metrics.modes import ModeMetrics
from pricing.metrics.request_stats import RequestStats
from pricing.mode.current import CurrentPolicy, SystemMode
from pricing.mode.fleet import Fleet
from pricing.mode.journal import ModeJournal
from pricing.mode.minute_totals import MinuteTotals
from pricing.mode.report import totals_of
from pricing.mode.signals import FULL_PERCENT, SignalParts, Signals, SpoolFacts
from pricing.ports import Publisher
from pricing.reading.last_known import LastKnownZones
from pricing.wiring.writing import Delivery
from streaming.consuming.topic_tail import TopicTailReader
from streaming.errors import BrokerError


class StepTrigger:
    """Wakes the orchestrator when a breaker changes; an observer of breakers, made before it."""

    def __init__(self) -> None:
        self.rings: Callable[[], None] = lambda: None

    def on_state_change(self, name: str, transition: Transition) -> None:
        del name, transition
        self.rings()

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None: ...

    def on_rejected(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeParts:
    """What the mode is made over."""

    config: ModeConfig
    policy: CurrentPolicy
    bell: StepTrigger
    ramps: Ramps
    breakers: BreakerRegistry
    health: HealthSource
    registry: CollectorRegistry
    pulse: RequestStats
    database: Bulkhead
    local: LastKnownZones
    zones: int
    tick_ms: int
    age_ms_of: Callable[[int], int]
    delivery: Delivery | None
    publisher: Publisher
    feed: TopicTailReader | None
    """Of the topic `system-modes`; None: only this instance is known."""
    on_kafka: Callable[[BrokerError | None], None]
    """Hears how each read of it went."""
    directory: Path
    instance: str
    now_ms: Callable[[], int]


@asynccontextmanager
async def open_system_mode(
    parts: ModeParts, *, now_s: Monotonic = monotonic_s, wall: Wall = wall_s
) -> AsyncIterator[SystemMode]:
    """The mode, running until the block ends."""
    lag = LatencySketch()
    spool = _spool_facts(parts.delivery)
    signals = Signals(
        SignalParts(
            breakers=parts.breakers,
            health=parts.health,
            ramps=parts.ramps,
            database=parts.database,
            local=parts.local,
            zones=parts.zones,
            spool=spool,
            pulse=parts.pulse,
            lag=lag,
            age_ms_of=parts.age_ms_of,
            tick_ms=parts.tick_ms,
        ),
        now_s(),
    )
    metrics = ModeMetrics(parts.registry, parts.ramps.shares)
    minutes = MinuteTotals(totals_of(parts.pulse, parts.breakers), now_s())
    journal = ModeJournal(parts.instance, parts.publisher, now_ms=parts.now_ms)
    orchestrator = Orchestrator(
        parts.config,
        signals.all(),
        directory=parts.directory,
        is_ramping=lambda: parts.ramps.is_ramping,
        observers=(parts.policy, journal, metrics, minutes),
        now_s=now_s,
        wall_s=wall,
    )
    fleet = None
    if parts.feed is not None:
        fleet = Fleet(parts.feed, now_ms=parts.now_ms, on_read=parts.on_kafka)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(watching_lag(lag, now_s=now_s))
        await stack.enter_async_context(orchestrator)
        await stack.enter_async_context(in_background("mode journal", journal.run()))
        if fleet is not None:
            await stack.enter_async_context(in_background("fleet", fleet.run()))
        parts.bell.rings = orchestrator.step_now
        yield SystemMode(
            orchestrator=orchestrator,
            policy=parts.policy,
            journal=journal,
            fleet=fleet,
            ramps=parts.ramps,
            metrics=metrics,
            minutes=minutes,
            breakers=parts.breakers,
            health=parts.health,
            spool=spool,
            now_ms=parts.now_ms,
        )


def _spool_facts(delivery: Delivery | None) -> Callable[[], SpoolFacts | None]:
    def facts() -> SpoolFacts | None:
        if delivery is None:
            return None
        spool = delivery.spool.stats()
        is_full = spool.state is SpoolState.FULL
        return SpoolFacts(
            pump=delivery.pump.stats().state,
            percent=FULL_PERCENT if is_full else float(spool.percent),
            records=spool.records,
            bytes=spool.bytes,
            oldest_age_s=(spool.oldest_age_ms or 0) / 1000,
        )

    return facts
