"""Reads the mode's inputs from what the process knows anyway. Nothing here calls a dependency."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fallback.breaker import BreakerRegistry, State
from fallback.guards.bulkhead import Bulkhead
from fallback.mode import Reading
from fallback.mode.orchestrator import InputReader
from fallback.pump import PumpState
from fallback.sketch import BudgetBurn, LatencySketch, ShareWindow
from pricing.health.passive import HealthSource
from pricing.health.ramps import Ramps
from pricing.metrics.request_stats import RequestStats
from pricing.mode.dependency_levels import Link, database_reading, kafka_reading, redis_reading
from pricing.model import Source
from pricing.reading.last_known import LastKnownZones

OPEN_LASTS_S = 5.0
"""A breaker that probes this soon after it was open counts as open: a store that comes and goes
opens it again within seconds, and each pass through half-open would lower the level meanwhile."""
_START_S = 60.0
"""How long a process may go without fresh states before their absence counts."""
_FRESH_TICKS = 3
_LEAST_ANSWERS = 20
"""Fewer answers in the window make no share."""
_SERVED_MS = 3_600_000
_PERCENTILE = 0.95
_STORES = ("redis", "database")
FULL_PERCENT = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What waits for Kafka, at one moment."""

    pump: PumpState
    percent: float
    """How full the spool is; 100 also where the volume is full."""
    records: int
    bytes: int
    oldest_age_s: float
    """Of the oldest event that Kafka does not have; 0: none waits."""


@dataclass(slots=True, kw_only=True, eq=False)
class Signals:
    """The inputs of `pricing.mode.inputs`: `sample` once a step, then any of `readers`.

    Only `sample` changes anything. Belongs to one event loop.
    """

    breakers: BreakerRegistry
    health: HealthSource
    ramps: Ramps
    database: Bulkhead
    """Around the queries to Postgres."""
    last_known: LastKnownZones
    zones: int
    """How many zones there are."""
    read_backlog: Callable[[], Backlog | None]
    """None: the disk does not work."""
    stats: RequestStats
    lag: LatencySketch
    """How late the event loop comes, in seconds."""
    age_ms_of: Callable[[int], int]
    """The age of a state by its tick."""
    tick_ms: int
    started_s: float
    """When the process began, monotonic."""
    _is_started: bool = field(default=False, init=False)
    _opened_s: dict[str, float] = field(default_factory=dict, init=False)
    """When each store was last seen gone, by name."""
    _shares: ShareWindow = field(init=False)
    _burn: BudgetBurn = field(default_factory=BudgetBurn, init=False)
    _answers: dict[Source, int] = field(init=False)
    _failed: int = field(init=False)
    _ages_ms: list[int] = field(default_factory=list, init=False)
    _backlog: Backlog | None = field(default=None, init=False)
    _trouble: int = field(default=0, init=False)
    """2: a store is not well; 1: all are, and get their load back; 0: neither."""

    def __post_init__(self) -> None:
        self._shares = ShareWindow(tuple(source.value for source in Source), 60.0)
        self._answers, self._failed = dict(self.stats.answers), self.stats.failed

    def readers(self) -> Mapping[str, InputReader]:
        """What reads each input, by its name."""
        return {
            "redis": self._redis,
            "database": self._database,
            "kafka": self._kafka,
            "spool_percent": self._spool_percent,
            "spool_age_s": self._spool_age,
            "read_p95_ms": lambda now_s: self._read_ms(now_s, 0.95),
            "read_p99_ms": lambda now_s: self._read_ms(now_s, 0.99),
            "loop_lag_ms": self._lag_ms,
            "stale_percent": lambda now_s: self._percent(now_s, Source.STALE_CACHE),
            "default_percent": lambda now_s: self._percent(now_s, Source.DEFAULT),
            "zone_age_s": self._zone_age,
            "budget_burn": lambda now_s: Reading(value=self._burn.rate(now_s)),
        }

    def sample(self, now_s: float) -> None:
        """Take what happened since the last step, and let time pass for breakers and ramps."""
        self.stats.advance(now_s)
        # Breakers first: an operator's state that is over must not show in this step's links.
        self.breakers.expire()
        self.ramps.advance()
        states = self.last_known.states()
        self._ages_ms = sorted(self.age_ms_of(state.window_end_ms) for state in states)
        self._backlog = self.read_backlog()
        for name in _STORES:
            if self._link(name).is_shut:
                self._opened_s[name] = now_s
        self._end_start(now_s)
        self._count_answers(now_s)
        # Last, so that what was answered until the outage was seen to end is cleared with it.
        self._forget_ended_outage()

    def _forget_ended_outage(self) -> None:
        """Clear what an outage left in the windows: once it has ended, that is explained."""
        trouble = int(self.ramps.is_ramping)
        if any(not self._link(name).is_well for name in _STORES):
            trouble = 2
        if trouble < self._trouble:
            self._shares.clear()
            self._burn.forgive()
        self._trouble = trouble

    def _end_start(self, now_s: float) -> None:
        """The start is over once nearly all states are fresh, or it took too long."""
        if self._is_started:
            return
        age_ms = self._zone_age_ms()
        is_fresh = age_ms is not None and age_ms <= _FRESH_TICKS * self.tick_ms
        if is_fresh or now_s - self.started_s >= _START_S:
            self._is_started = True
            # First calls open connections and load what is loaded once.
            self.lag.clear()
            self.stats.read_times.clear()

    def _count_answers(self, now_s: float) -> None:
        answers, failed = dict(self.stats.answers), self.stats.failed
        new = {source: answers[source] - self._answers[source] for source in answers}
        bad = new[Source.DEFAULT] + failed - self._failed
        self._answers, self._failed = answers, failed
        if not self._is_started:
            return
        # What a ramp keeps from a store is answered from elsewhere, on purpose.
        for source, times in new.items() if self._trouble != 1 else ():
            if times:
                self._shares.record(now_s, source.value, times)
        self._burn.record(now_s, good=sum(new.values()) - new[Source.DEFAULT], bad=bad)

    def _link(self, name: str) -> Link:
        breaker = self.breakers[name]
        counts = breaker.snapshot().counts
        return Link(
            state=breaker.state,
            failures=counts.failures,
            calls=counts.calls,
            is_suspect=self.health.services()[name].status == "unhealthy",
        )

    def _lasting_link(self, name: str, now_s: float) -> Link:
        """The link; as open as it was a moment ago while its breaker only probes."""
        link = self._link(name)
        if link.is_shut or link.state is not State.HALF_OPEN:
            return link
        opened_s = self._opened_s.get(name)
        if opened_s is not None and now_s - opened_s < OPEN_LASTS_S:
            return Link(state=State.OPEN)
        return link

    def _redis(self, now_s: float) -> Reading:
        # A limit of 0 lets no query through, which is as good as a full one.
        load = self.database.in_flight / self.database.limit if self.database.limit else 1.0
        return redis_reading(self._lasting_link("redis", now_s), load)

    def _database(self, now_s: float) -> Reading:
        served = sum(age_ms <= _SERVED_MS for age_ms in self._ages_ms)
        coverage = served / self.zones if self.zones else 0.0
        database, redis = (self._lasting_link(name, now_s) for name in ("database", "redis"))
        return database_reading(database, redis, coverage)

    def _kafka(self, _now_s: float) -> Reading:
        return kafka_reading(None if self._backlog is None else self._backlog.pump)

    def _spool_percent(self, _now_s: float) -> Reading:
        value = 0.0 if self._backlog is None else self._backlog.percent
        return Reading(value=value, is_hard=value >= FULL_PERCENT)

    def _spool_age(self, _now_s: float) -> Reading:
        return Reading(value=0.0 if self._backlog is None else self._backlog.oldest_age_s)

    def _read_ms(self, now_s: float, share: float) -> Reading:
        """No reads: latency is zero."""
        if not self._is_started:
            return Reading(value=0.0)
        value_s = self.stats.read_times.quantile(now_s, share)
        return Reading(value=round((value_s or 0.0) * 1000, 3))

    def _lag_ms(self, now_s: float) -> Reading | None:
        """None: the loop was not measured in the window, which is no proof that it responds."""
        if not self._is_started:
            return Reading(value=0.0)
        value_s = self.lag.quantile(now_s, 0.99)
        return None if value_s is None else Reading(value=round(value_s * 1000, 3))

    def _percent(self, now_s: float, source: Source) -> Reading:
        if self._shares.total(now_s) < _LEAST_ANSWERS:
            return Reading(value=0.0)
        return Reading(value=round(100 * self._shares.share(now_s, source.value), 3))

    def _zone_age(self, _now_s: float) -> Reading | None:
        """None: no zone has a state, so the age of the data is unknown."""
        if not self._is_started:
            return Reading(value=0.0)
        age_ms = self._zone_age_ms()
        return None if age_ms is None else Reading(value=age_ms / 1000)

    def _zone_age_ms(self) -> int | None:
        """The age that 95 % of the known states do not exceed."""
        if not self._ages_ms:
            return None
        rank = min(len(self._ages_ms) - 1, int(_PERCENTILE * len(self._ages_ms)))
        return self._ages_ms[rank]
