"""Reads the mode's inputs from what the process knows anyway. Nothing here calls anybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fallback.breaker import BreakerRegistry, State
from fallback.guards.bulkhead import Bulkhead
from fallback.mode import Reading
from fallback.mode.orchestrator import Signal
from fallback.pump import PumpState
from fallback.sketch import BudgetBurn, LatencySketch, ShareWindow
from pricing.health.passive import HealthSource
from pricing.health.ramps import Ramps
from pricing.metrics.request_stats import RequestStats
from pricing.mode.dependency_levels import Link, judge_database, judge_kafka, judge_redis
from pricing.model import Source
from pricing.reading.last_known import LastKnownZones

_OPEN_LASTS_S = 5.0
"""A breaker that probes so soon after it was open has not been well since."""
_START_S = 60.0
"""How long a process may go without fresh states before their absence counts."""
_FRESH_TICKS = 3
_LEAST_ANSWERS = 20
"""Fewer answers in the window make no share."""
_SERVED_MS = 3_600_000
_PERCENTILE = 0.95
FULL_PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolFacts:
    """The way to Kafka, at one moment."""

    pump: PumpState
    percent: float
    """How full the spool is; 100 also where the volume is full."""
    records: int
    bytes: int
    oldest_age_s: float
    """Of the oldest event that Kafka does not have; 0: none waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalParts:
    """What is looked at."""

    breakers: BreakerRegistry
    health: HealthSource
    ramps: Ramps
    database: Bulkhead
    local: LastKnownZones
    zones: int
    """How many zones there are."""
    spool: Callable[[], SpoolFacts | None]
    """None: the disk does not work."""
    pulse: RequestStats
    lag: LatencySketch
    age_ms_of: Callable[[int], int]
    """The age of a state by its tick."""
    tick_ms: int


class Signals:
    """The inputs of `pricing.mode.inputs`, sampled once a step."""

    def __init__(self, parts: SignalParts, now_s: float) -> None:
        self._parts = parts
        self._started_s = now_s
        self._sampled_s: float | None = None
        self._is_started = False
        self._opened_s: dict[str, float] = {}
        self._mix = ShareWindow(tuple(source.value for source in Source), 60.0)
        self._burn = BudgetBurn()
        self._answers = dict(parts.pulse.answers)
        self._failed = parts.pulse.failed
        self._ages_ms: list[int] = []
        self._trouble = 0
        """2: a store is not well; 1: all are, and get their load back; 0: neither."""

    def all(self) -> Mapping[str, Signal]:
        """The signals by their inputs' names."""
        signals: dict[str, Signal] = {
            "redis": self._redis,
            "database": self._database,
            "kafka": self._kafka,
            "spool_percent": self._spool_percent,
            "spool_age_s": self._spool_age,
            "read_p95_ms": lambda now_s: self._read_ms(now_s, 0.95),
            "read_p99_ms": lambda now_s: self._read_ms(now_s, 0.99),
            "loop_lag_ms": self._lag,
            "stale_percent": lambda now_s: self._percent(now_s, Source.STALE_CACHE),
            "default_percent": lambda now_s: self._percent(now_s, Source.DEFAULT),
            "zone_age_s": self._zone_age,
            "budget_burn": lambda now_s: Reading(value=self._burn.rate(now_s)),
        }
        return {name: self._after_sample(signal) for name, signal in signals.items()}

    def _after_sample(self, signal: Signal) -> Signal:
        def sampled(now_s: float) -> Reading | None:
            if now_s != self._sampled_s:
                self._sampled_s = now_s
                self._sample(now_s)
            return signal(now_s)

        return sampled

    def _sample(self, now_s: float) -> None:
        """Take what happened since the last step."""
        parts = self._parts
        parts.pulse.beat(now_s)
        parts.breakers.expire()
        parts.ramps.advance()
        self._ages_ms = sorted(parts.age_ms_of(one.window_end_ms) for one in parts.local.states())
        self._start(now_s)
        self._count(now_s)
        self._forgive()

    def _forgive(self) -> None:
        """Let go of what an outage left in the windows: once its end is seen, it is explained."""
        stage = int(self._parts.ramps.is_ramping)
        if any(not self._link(name).is_well for name in _STORES):
            stage = 2
        if stage < self._trouble:
            self._mix.clear()
            self._burn.forgive()
        self._trouble = stage

    def _start(self, now_s: float) -> None:
        """The start is over once nearly all states are fresh, or it took too long."""
        fresh_ms = _FRESH_TICKS * self._parts.tick_ms
        age_ms = self._zone_age_ms()
        is_fresh = age_ms is not None and age_ms <= fresh_ms
        if not self._is_started and (is_fresh or now_s - self._started_s >= _START_S):
            self._is_started = True
            # First calls open connections and load what is loaded once.
            self._parts.lag.clear()
            self._parts.pulse.read_times.clear()

    def _count(self, now_s: float) -> None:
        pulse = self._parts.pulse
        answers, failed = dict(pulse.answers), pulse.failed
        new = {source: answers[source] - self._answers[source] for source in answers}
        bad = new[Source.DEFAULT] + failed - self._failed
        self._answers, self._failed = answers, failed
        if not self._is_started:
            return
        # What a ramp keeps from a store is answered from elsewhere, on purpose.
        for source, times in new.items() if self._trouble != 1 else ():
            if times:
                self._mix.record(now_s, source.value, times)
        self._burn.record(now_s, good=sum(new.values()) - new[Source.DEFAULT], bad=bad)

    def _link(self, name: str) -> Link:
        breaker = self._parts.breakers[name]
        counts = breaker.snapshot().counts
        return Link(
            state=breaker.state,
            failures=counts.failures,
            calls=counts.calls,
            is_suspect=self._parts.health.services()[name].status == "unhealthy",
        )

    def _lasting(self, name: str, now_s: float) -> Link:
        """The link, as open as it was a moment ago while it only probes."""
        link = self._link(name)
        if link.is_shut:
            self._opened_s[name] = now_s
        elif (
            link.state is State.HALF_OPEN
            and now_s - self._opened_s.get(name, -_OPEN_LASTS_S) < _OPEN_LASTS_S
        ):
            return Link(state=State.OPEN)
        return link

    def _redis(self, now_s: float) -> Reading:
        database = self._parts.database
        load = database.in_flight / database.limit if database.limit else 1.0
        return judge_redis(self._lasting("redis", now_s), load)

    def _database(self, now_s: float) -> Reading:
        served = sum(age_ms <= _SERVED_MS for age_ms in self._ages_ms)
        coverage = served / self._parts.zones if self._parts.zones else 0.0
        return judge_database(
            self._lasting("database", now_s), self._lasting("redis", now_s), coverage
        )

    def _kafka(self, _now_s: float) -> Reading:
        facts = self._parts.spool()
        return judge_kafka(None if facts is None else facts.pump)

    def _spool_percent(self, _now_s: float) -> Reading:
        facts = self._parts.spool()
        value = 0.0 if facts is None else facts.percent
        return Reading(value=value, is_hard=value >= FULL_PERCENT)

    def _spool_age(self, _now_s: float) -> Reading:
        facts = self._parts.spool()
        return Reading(value=0.0 if facts is None else facts.oldest_age_s)

    def _read_ms(self, now_s: float, share: float) -> Reading:
        """Nobody who reads is nobody who waits."""
        if not self._is_started:
            return Reading(value=0.0)
        value_s = self._parts.pulse.read_times.quantile(now_s, share)
        return Reading(value=round((value_s or 0.0) * 1000, 3))

    def _lag(self, now_s: float) -> Reading | None:
        if not self._is_started:
            return Reading(value=0.0)
        value_s = self._parts.lag.quantile(now_s, 0.99)
        return None if value_s is None else Reading(value=round(value_s * 1000, 3))

    def _percent(self, now_s: float, source: Source) -> Reading:
        if self._mix.total(now_s) < _LEAST_ANSWERS:
            return Reading(value=0.0)
        return Reading(value=round(100 * self._mix.share(now_s, source.value), 3))

    def _zone_age(self, _now_s: float) -> Reading | None:
        """None: no zone has a state, and nobody knows how old the truth is."""
        if not self._is_started:
            return Reading(value=0.0)
        age_ms = self._zone_age_ms()
        return None if age_ms is None else Reading(value=age_ms / 1000)

    def _zone_age_ms(self) -> int | None:
        """Nearly all known states are at most so old."""
        if not self._ages_ms:
            return None
        rank = min(len(self._ages_ms) - 1, int(_PERCENTILE * len(self._ages_ms)))
        return self._ages_ms[rank]


_STORES = ("redis", "database")
