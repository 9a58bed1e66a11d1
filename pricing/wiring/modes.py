"""Builds the system mode over the read path and the write path. Opening calls no dependency."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from fallback.background import in_background
from fallback.breaker import Transition, Verdict
from fallback.clock import monotonic_s
from fallback.event_loop_lag import watching_lag
from fallback.mode.orchestrator import ModeObserver, Orchestrator
from fallback.sketch import LatencySketch
from fallback.spool import SpoolState
from pricing.clocks import now_ms
from pricing.errors import DependencyUnavailable
from pricing.health.passive import PassiveHealth
from pricing.metrics.api import Metrics
from pricing.metrics.modes import ModeMetrics
from pricing.metrics.registry import register
from pricing.mode.current import SystemMode
from pricing.mode.fleet import Fleet
from pricing.mode.inputs import mode_config
from pricing.mode.journal import ModeJournal
from pricing.mode.minute_totals import MinuteTotals
from pricing.mode.report import totals_of
from pricing.mode.signals import FULL_PERCENT, Backlog, Signals
from pricing.ports import Publisher
from pricing.wiring.reading import ReadGuards, ReadPath
from pricing.wiring.settings import Settings
from pricing.wiring.writing import Delivery, WritePath
from streaming.config import KafkaConfig
from streaming.consuming.topic_tail import TopicTailReader
from streaming.errors import BrokerError
from streaming.topics import SYSTEM_MODES, full_name

_KAFKA_IDLE_MS = 5_000
"""After this long without a send, Kafka's health is taken from the consumers."""


class StepTrigger:
    """Has the mode stepped at once when a breaker changes; an observer of breakers."""

    def __init__(self, step_now: Callable[[], None]) -> None:
        self._step_now = step_now

    def on_state_change(self, name: str, transition: Transition) -> None:
        del name, transition
        self._step_now()

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None: ...

    def on_rejected(self, name: str) -> None: ...


@asynccontextmanager
async def open_system_mode(
    settings: Settings,
    kafka: KafkaConfig,
    guards: ReadGuards,
    read: ReadPath,
    write: WritePath,
    publisher: Publisher,
    metrics: Metrics,
) -> AsyncIterator[SystemMode]:
    """The mode, running until the block ends."""
    lag, backlog = LatencySketch(), backlog_reader(write.delivery)
    signals = _signals(settings, guards, read, metrics, lag, backlog)
    journal = ModeJournal(settings.instance_name, publisher, now_ms=now_ms)
    mode_metrics = register(ModeMetrics, metrics.registry, shares=guards.ramps.shares)
    totals = MinuteTotals(totals_of(metrics.stats, guards.breakers), monotonic_s())
    # The policy first, so that no observer after it acts on a level that does not hold yet.
    observers = (guards.policy, journal, mode_metrics, totals)
    orchestrator = _orchestrator(settings, signals, guards, observers)
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(_open_fleet(kafka, guards.health))
        await stack.enter_async_context(watching_lag(lag, now_s=monotonic_s))
        await stack.enter_async_context(orchestrator)
        await stack.enter_async_context(in_background("mode journal", journal.run()))
        trigger = StepTrigger(orchestrator.step_now)
        for breaker in guards.breakers:
            breaker.watch(trigger)
        yield SystemMode(
            orchestrator,
            journal=journal,
            fleet=fleet,
            totals=totals,
            metrics=mode_metrics,
            breakers=guards.breakers,
            health=guards.health,
            ramps=guards.ramps,
            read_backlog=backlog,
            now_ms=now_ms,
        )


def _orchestrator(
    settings: Settings, signals: Signals, guards: ReadGuards, observers: Sequence[ModeObserver]
) -> Orchestrator:
    config = mode_config(
        tick_s=settings.tick_s,
        up_dwell_s=settings.mode_up_dwell_s,
        down_dwell_s=settings.mode_down_dwell_s,
    )
    return Orchestrator(
        config,
        signals.readers(),
        before_step=signals.sample,
        directory=settings.state_dir,
        is_ramping=lambda: guards.ramps.is_ramping,
        observers=observers,
    )


def _signals(
    settings: Settings,
    guards: ReadGuards,
    read: ReadPath,
    metrics: Metrics,
    lag: LatencySketch,
    backlog: Callable[[], Backlog | None],
) -> Signals:
    return Signals(
        breakers=guards.breakers,
        health=guards.health,
        ramps=guards.ramps,
        database=read.rungs.database.bulkhead,
        last_known=read.last_known,
        zones=read.zones,
        read_backlog=backlog,
        stats=metrics.stats,
        lag=lag,
        # A state's tick may lie ahead of this machine's clock: that is no negative age.
        age_ms_of=lambda at_ms: max(0, read.clock.now_ms() - at_ms),
        tick_ms=settings.tick_s * 1000,
        started_s=monotonic_s(),
    )


@asynccontextmanager
async def _open_fleet(kafka: KafkaConfig, health: PassiveHealth) -> AsyncIterator[Fleet]:
    def on_read(error: BrokerError | None) -> None:
        failure = None if error is None else DependencyUnavailable("kafka", "not readable")
        health.note_if_idle("kafka", failure, idle_ms=_KAFKA_IDLE_MS)

    async with TopicTailReader(kafka, full_name(kafka, SYSTEM_MODES)) as tail:
        fleet = Fleet(tail, now_ms=now_ms, on_read=on_read)
        async with in_background("fleet", fleet.run()):
            yield fleet


def backlog_reader(delivery: Delivery | None) -> Callable[[], Backlog | None]:
    """Tells what waits for Kafka; None where the disk does not work."""

    def read() -> Backlog | None:
        if delivery is None:
            return None
        spool = delivery.spool.stats()
        is_full = spool.state is SpoolState.FULL
        return Backlog(
            pump=delivery.pump.stats().state,
            percent=FULL_PERCENT if is_full else float(spool.percent),
            records=spool.records,
            bytes=spool.bytes,
            oldest_age_s=(spool.oldest_age_ms or 0) / 1000,
        )

    return read
