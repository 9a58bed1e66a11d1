from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.breaker import State
from fallback.mode import Level
from fallback.pump import PumpState
from pricing.mode.dependency_levels import Link, database_reading, kafka_reading, redis_reading
from pricing.mode.inputs import mode_config, zone_age_scale

CLOSED, OPEN, HALF = (Link(state=state) for state in (State.CLOSED, State.OPEN, State.HALF_OPEN))
FORCED = Link(state=State.FORCED_OPEN)
SUSPECT = Link(state=State.CLOSED, is_suspect=True)
LINKS = st.builds(
    Link,
    state=st.sampled_from(State),
    failures=st.integers(0, 50),
    calls=st.integers(50, 100),
    is_suspect=st.booleans(),
)
SHARES = st.floats(0, 1)


@pytest.mark.parametrize(
    ("link", "load", "entered", "kept"),
    [
        (CLOSED, 1.0, 0, 0),
        (HALF, 1.0, 1, 1),
        (OPEN, 0.0, 2, 2),
        (FORCED, 0.49, 2, 2),
        (SUSPECT, 0.0, 2, 2),
        (OPEN, 0.5, 2, 3),
        (OPEN, 0.79, 2, 3),
        (OPEN, 0.8, 3, 3),
        (Link(state=State.CLOSED, failures=2, calls=10), 0.0, 0, 0),
        (Link(state=State.CLOSED, failures=3, calls=60), 0.0, 0, 1),
        (Link(state=State.CLOSED, failures=4, calls=60), 0.0, 1, 1),
        (Link(state=State.CLOSED, failures=3, calls=151), 0.0, 0, 0),
    ],
)
def test_redis_level_follows_rate_and_postgres_load(link, load, entered, kept):
    reading = redis_reading(link, load)
    assert (reading.entered, reading.kept) == (entered, kept)


@pytest.mark.parametrize(
    ("database", "redis", "coverage", "entered", "kept", "hard"),
    [
        (CLOSED, OPEN, 0.0, 0, 0, False),
        (HALF, OPEN, 0.0, 1, 1, False),
        (OPEN, CLOSED, 0.0, 2, 2, False),
        (OPEN, HALF, 0.0, 3, 3, False),
        (OPEN, OPEN, 1.0, 3, 3, True),
        (OPEN, OPEN, 0.94, 3, 4, True),
        (OPEN, OPEN, 0.80, 3, 4, True),
        (OPEN, OPEN, 0.79, 4, 4, True),
        (FORCED, FORCED, 1.0, 3, 3, True),
        (SUSPECT, SUSPECT, 1.0, 3, 3, False),
        (SUSPECT, OPEN, 1.0, 3, 3, False),
    ],
)
def test_database_is_judged_beside_redis(database, redis, coverage, entered, kept, hard):
    reading = database_reading(database, redis, coverage)
    assert (reading.entered, reading.kept, reading.is_hard) == (entered, kept, hard)


@pytest.mark.parametrize(
    ("pump", "level", "hard"),
    [
        (PumpState.HEALTHY, Level.NORMAL, False),
        (PumpState.RECOVERING, Level.NORMAL, False),
        (PumpState.SPOOLING, Level.MINOR, False),
        (PumpState.FULL, Level.CRITICAL, True),
        (PumpState.FAILED, Level.SEVERE, True),
        (None, Level.SEVERE, True),
    ],
)
def test_kafka_is_judged_by_what_becomes_of_events(pump, level, hard):
    reading = kafka_reading(pump)
    assert (reading.entered, reading.kept, reading.is_hard) == (level, level, hard)


@given(LINKS, LINKS, SHARES, SHARES)
def test_every_combination_has_a_reading(redis, database, load, coverage):
    for reading in (redis_reading(redis, load), database_reading(database, redis, coverage)):
        assert reading.kept >= reading.entered
        assert reading.value
        assert reading.threshold


def test_zone_ages_grow_with_long_ticks_only():
    assert zone_age_scale(1).minor.enter == zone_age_scale(5).minor.enter == 15
    assert zone_age_scale(30).critical.enter == 3_600


def test_hold_follows_the_dwell():
    config = mode_config(tick_s=5, up_dwell_s=3, down_dwell_s=2)
    assert (config.down_dwell_s, config.hold_s, config.up_ticks) == (2, 10, 3)
