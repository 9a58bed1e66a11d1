"""The mode's inputs, read from a world in memory."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from fallback.breaker import State, Transition
from fallback.breaker.window import Counts
from fallback.guards.ramp import RampConfig
from fallback.mode import Level
from fallback.pump import PumpState
from fallback.sketch import LatencySketch
from pricing.errors import DependencyTimeout
from pricing.health.ramps import Ramps
from pricing.mode.signals import OPEN_LASTS_S, Signals
from pricing.model import Source
from tests.support.api import LadderWorld
from tests.support.fake_clock import FakeClocks
from tests.support.system_mode import BACKLOG
from tests.support.zone_states import TICK_MS, zone_state


async def timed_out() -> None:
    raise DependencyTimeout("redis", "late")


async def answered() -> None: ...


class Watched:
    """Signals over a ladder world, with a clock that the test moves."""

    def __init__(self) -> None:
        self.world = LadderWorld()
        self.clocks = FakeClocks(now=1_000.0)
        self.backlog = BACKLOG
        self.lag = LatencySketch()
        self.ramps = Ramps(
            {"redis": 0.08, "database": 0.3}, RampConfig(jitter=0.0), now_s=self.clocks.now_s
        )
        self.signals = Signals(
            breakers=self.world.breakers,
            health=self.world.health,
            ramps=self.ramps,
            database=self.world.rungs.database.bulkhead,
            last_known=self.world.last_known,
            zones=len(self.world.catalogue.zones),
            read_backlog=lambda: self.backlog,
            stats=self.world.metrics.stats,
            lag=self.lag,
            age_ms_of=lambda at_ms: max(0, self.world.now_ms - at_ms),
            tick_ms=5_000,
            started_s=self.clocks.now_s(),
        )

    def fresh(self) -> None:
        """Let every zone have a fresh state, which ends the start."""
        zones = self.world.catalogue.zones
        self.world.last_known.keep([zone_state(zone.zone_id) for zone in zones])
        self.read("zone_age_s")

    def read(self, name: str):
        self.clocks.advance(1.0)
        self.signals.sample(self.clocks.now_s())
        return self.signals.readers()[name](self.clocks.now_s())

    async def open_redis(self) -> None:
        """Let calls fail until the breaker opens."""
        redis = self.world.breakers["redis"]
        while redis.state is not State.OPEN:
            with suppress(DependencyTimeout):
                await redis.call(timed_out)

    async def probe_redis(self) -> None:
        """Let one probe succeed, of the several that would close the breaker."""
        redis = self.world.breakers["redis"]
        redis.hasten()
        await redis.call(answered)

    def answer(self, source: Source, times: int) -> None:
        self.world.metrics.stats.answered(source, times)


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_every_input_has_a_signal(watched):
    from tests.support.system_mode import CONFIG

    assert watched.signals.readers().keys() == {spec.name for spec in CONFIG.inputs}


def test_shares_count_once_the_start_is_over(watched):
    watched.answer(Source.DEFAULT, 100)
    assert watched.read("default_percent").value == 0.0
    watched.fresh()
    watched.answer(Source.REDIS, 90)
    watched.answer(Source.STALE_CACHE, 10)
    assert watched.read("stale_percent").value == 10.0
    assert watched.read("default_percent").value == 0.0


def test_few_answers_make_no_share(watched):
    watched.fresh()
    watched.answer(Source.STALE_CACHE, 19)
    assert watched.read("stale_percent").value == 0.0
    watched.answer(Source.STALE_CACHE, 1)
    assert watched.read("stale_percent").value == 100.0


def test_start_is_over_after_a_minute_without_states(watched):
    assert watched.read("zone_age_s").value == 0.0
    watched.clocks.advance(60)
    assert watched.read("zone_age_s") is None
    watched.world.last_known.keep([zone_state("z1", TICK_MS - 100_000)])
    assert watched.read("zone_age_s").value == pytest.approx(102.14)


def test_start_lasts_while_some_states_are_old(watched):
    """The others come from a snapshot, and are read anew a moment later."""
    watched.world.last_known.keep([zone_state("z1"), zone_state("z2", TICK_MS - 500_000)])
    assert watched.read("zone_age_s").value == 0.0
    watched.fresh()
    watched.world.now_ms += 20_000
    assert watched.read("zone_age_s").value == pytest.approx(22.14)


def test_zone_age_leaves_out_the_oldest_zones(watched):
    watched.fresh()
    assert watched.read("zone_age_s").value == pytest.approx(2.14)
    watched.world.now_ms += 20_000
    assert watched.read("zone_age_s").value == pytest.approx(22.14)


def test_budget_burns_by_default_fares_and_failed_requests(watched):
    watched.fresh()
    watched.answer(Source.REDIS, 990)
    watched.answer(Source.DEFAULT, 5)
    for _ in range(5):
        watched.world.metrics.stats.request("/api/v1/prices", 500, 0.01)
    assert watched.read("budget_burn").value == pytest.approx(10.0)


def test_read_times_and_lag_forget_the_start(watched):
    watched.world.metrics.stats.request("/api/v1/prices", 200, 3.0)
    watched.lag.record(1_000.0, 2.0)
    watched.fresh()
    assert watched.read("read_p95_ms").value == 0.0
    assert watched.read("loop_lag_ms") is None
    watched.world.metrics.stats.request("/api/v1/prices", 200, 0.1)
    watched.lag.record(watched.clocks.now, 0.02)
    assert watched.read("read_p99_ms").value == pytest.approx(100, rel=0.11)
    assert watched.read("loop_lag_ms").value == pytest.approx(20, rel=0.11)


def test_other_requests_are_no_price_reads(watched):
    watched.fresh()
    watched.world.metrics.stats.request("/metrics", 500, 9.0)
    assert watched.read("read_p99_ms").value == 0.0
    assert watched.world.metrics.stats.failed == 0


def test_breaker_closed_by_hand_is_well_at_once(watched):
    redis = watched.world.breakers["redis"]
    redis.force_open(for_s=None)
    assert watched.read("redis").entered is Level.MODERATE
    redis.reset()
    assert watched.read("redis").entered is Level.NORMAL


async def test_breaker_that_probes_counts_as_open_for_seconds(watched):
    await watched.open_redis()
    assert watched.read("redis").entered is Level.MODERATE
    await watched.probe_redis()
    levels = [watched.read("redis").entered for _ in range(int(OPEN_LASTS_S) + 1)]
    assert watched.world.breakers["redis"].state is State.HALF_OPEN
    assert levels == [Level.MODERATE] * (int(OPEN_LASTS_S) - 1) + [Level.MINOR] * 2


def test_answers_show_at_the_next_sample_only(watched):
    watched.fresh()
    readers, now_s = watched.signals.readers(), watched.clocks.now_s()
    watched.answer(Source.STALE_CACHE, 100)
    assert [readers["stale_percent"](now_s).value for _ in range(2)] == [0.0, 0.0]
    watched.signals.sample(now_s)
    assert [readers["stale_percent"](now_s).value for _ in range(2)] == [100.0, 100.0]


def test_failures_in_a_row_precede_the_breaker(watched):
    for _ in range(3):
        watched.world.health.failed("redis", DependencyTimeout("redis", "late"))
    reading = watched.read("redis")
    assert (reading.entered, reading.value) == (Level.MODERATE, "calls fail in a row")


def test_both_stores_gone_is_a_hard_fact(watched):
    watched.fresh()
    for name in ("redis", "database"):
        watched.world.breakers[name].force_open(for_s=None)
    reading = watched.read("database")
    assert (reading.entered, reading.is_hard) == (Level.SEVERE, True)
    watched.world.now_ms += 3_700_000
    assert watched.read("database").entered is Level.CRITICAL


def test_spool_is_read_as_it_stands(watched):
    watched.backlog = replace(BACKLOG, percent=76.0, oldest_age_s=31.0, pump=PumpState.SPOOLING)
    assert watched.read("spool_percent").value == 76.0
    assert watched.read("spool_age_s").value == 31.0
    assert watched.read("kafka").entered is Level.MINOR
    watched.backlog = None
    assert watched.read("kafka").entered is Level.SEVERE
    assert watched.read("spool_percent").value == 0.0


def test_end_of_an_outage_clears_what_it_explains(watched):
    watched.fresh()
    redis = watched.world.breakers["redis"]
    redis.force_open(for_s=None)
    watched.answer(Source.STALE_CACHE, 100)
    assert watched.read("stale_percent").value == 100.0
    redis.reset()
    assert watched.read("stale_percent").value == 0.0


def test_read_held_back_by_ramp_is_not_stale(watched):
    watched.fresh()
    opened = Transition(State.CLOSED, State.OPEN, 0.0, Counts(0, 0, 0))
    watched.ramps.on_state_change("redis", opened._replace(old=State.HALF_OPEN, new=State.CLOSED))
    assert watched.read("stale_percent").value == 0.0
    watched.answer(Source.STALE_CACHE, 100)
    assert watched.read("stale_percent").value == 0.0
    watched.ramps.on_state_change("redis", opened)
    watched.read("stale_percent")
    watched.answer(Source.STALE_CACHE, 100)
    assert watched.read("stale_percent").value == 100.0


def test_burn_ends_with_outage_and_starts_anew(watched):
    watched.fresh()
    redis = watched.world.breakers["redis"]
    redis.force_open(for_s=None)
    watched.answer(Source.DEFAULT, 500)
    watched.answer(Source.REDIS, 500)
    assert watched.read("budget_burn").value == pytest.approx(500.0)
    redis.reset()
    assert watched.read("budget_burn").value == 0.0
    watched.answer(Source.DEFAULT, 200)
    assert watched.read("budget_burn").value > 14.4
