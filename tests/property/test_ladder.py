"""The ladder against a model of its own: every combination of rung outcomes and ages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pricing.errors import (
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.surge.confidence import confidence_at, freshness_at
from tests.support.api import ZONES, LadderWorld
from tests.support.zone_states import TICK_MS, zone_state

MAX_AGE_MS = 3_600_000
Z1 = ZONES[0]

FAILURES = {
    "timeout": DependencyTimeout("x", "late"),
    "unavailable": DependencyUnavailable("x", "refused"),
    "saturated": DependencySaturated("x", "full"),
    "refused": DependencyRefused("x", "no"),
    "fault": RuntimeError("a fault of the adapter"),
}


@dataclass(frozen=True)
class Outcome:
    """What a rung does: fail in one of its ways, miss, or hold a state of this age."""

    failure: str | None
    age_ms: int | None

    @property
    def usable_age_ms(self) -> int | None:
        if self.failure or self.age_ms is None or self.age_ms > MAX_AGE_MS:
            return None
        return self.age_ms


AGES = st.one_of(
    st.integers(0, 2 * MAX_AGE_MS),
    st.sampled_from([0, MAX_AGE_MS, MAX_AGE_MS + 1, 15_000, 15_001, 120_000, 120_001]),
)
HELD = st.builds(Outcome, st.none(), st.one_of(st.none(), AGES))
OUTCOMES = st.one_of(HELD, st.builds(Outcome, st.sampled_from(sorted(FAILURES)), AGES))


def expected(redis, database, local):
    """Source, reason and age by the rules as the design words them."""
    first = {None: "redis_miss", "timeout": "redis_timeout"}.get(redis.failure, "redis_unavailable")
    both_failed = bool(redis.failure and database.failure)
    if redis.usable_age_ms is not None:
        return "redis", None, redis.usable_age_ms
    if database.usable_age_ms is not None:
        return "database", first, database.usable_age_ms
    # A state that a rung gave is kept, so the newest one ever seen is what stands by.
    seen = [rung.age_ms for rung in (redis, database, local) if not rung.failure]
    known = min((age for age in seen if age is not None), default=None)
    limit = {2: MAX_AGE_MS, 1: 120_000, 0: 15_000}[bool(redis.failure) + bool(database.failure)]
    if known is not None and known <= limit:
        return "stale_cache", "all_systems_unavailable" if both_failed else first, known
    return "default", "all_systems_failed" if both_failed else first, 0


def arrange(redis, database, local):
    world = LadderWorld()
    world.now_ms = TICK_MS
    for shelf, outcome in ((world.cache, redis), (world.store, database)):
        shelf.failure = FAILURES.get(outcome.failure)
        if outcome.age_ms is not None:
            shelf.put(zone_state("z1", TICK_MS - outcome.age_ms))
    if local.age_ms is not None:
        world.last_known.keep([zone_state("z1", TICK_MS - local.age_ms)])
    return world


@given(OUTCOMES, OUTCOMES, HELD)
def test_ladder_answers_as_the_model_says(redis, database, local):
    world = arrange(redis, database, local)
    with capture_logs():
        answer = asyncio.run(world.ladder.price(Z1))
    assert (answer.source, answer.fallback_reason, answer.age_ms) == expected(
        redis, database, local
    )
    if answer.source == "default":
        assert (answer.confidence_percent, answer.freshness) == (10, "default")
        assert answer.price_minor == Z1.base_fare_minor
    else:
        assert answer.confidence_percent == confidence_at(100, answer.age_ms)
        assert answer.freshness == freshness_at(answer.age_ms, 5_000)
        assert answer.as_of_ms == TICK_MS - answer.age_ms


@given(st.lists(st.sampled_from(ZONES), max_size=6), st.data())
def test_batch_answers_as_single_reads_would(zones, data):
    cached, stored, local = (data.draw(st.sets(st.sampled_from(ZONES))) for _ in range(3))
    failures = st.sampled_from([None, *FAILURES.values()])
    cache_failure, store_failure = data.draw(failures), data.draw(failures)

    def world():
        made = LadderWorld()
        made.cache.put(*(zone_state(each.zone_id) for each in cached))
        made.store.put(*(zone_state(each.zone_id, TICK_MS - 5_000) for each in stored))
        made.last_known.keep(zone_state(each.zone_id, TICK_MS - 9_000) for each in local)
        made.cache.failure, made.store.failure = cache_failure, store_failure
        return made

    with capture_logs():
        batch = asyncio.run(world().ladder.prices(zones))
        assert batch == [asyncio.run(world().ladder.price(each)) for each in zones]
