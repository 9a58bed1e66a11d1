"""A change of mode may hold or lower a fare; it never raises one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fallback.mode import Level, initial, step
from pricing.mode.policy import KNOBS, policies
from pricing.model import MICRO
from pricing.reading.policy import ReadPolicy
from pricing.reading.surge_limit import REASON, SurgeLimit
from tests.property.test_mode_reducer import TRACES
from tests.support.mode_inputs import CONFIG
from tests.support.zone_states import zone_state

QUANTA = st.sampled_from([10_000, 50_000, 100_000, 250_000])
MICROS = st.integers(500_000, 10 * MICRO)
AGES_MS = st.integers(0, 4_000_000)


@given(MICROS, QUANTA, AGES_MS, AGES_MS)
def test_worse_mode_or_older_state_never_gives_more(micro, quantum, age_ms, older_ms):
    ages = sorted((age_ms, older_ms))
    before = None
    for level in Level:
        limit = SurgeLimit(level=level, quantum_micro=quantum)
        young, old = (limit.multiplier_micro(micro, age) for age in ages)
        assert old <= young <= micro
        assert before is None or young <= before
        before = young


@given(MICROS, QUANTA, AGES_MS, st.sampled_from(Level))
def test_limit_is_idempotent_and_keeps_the_quantum(micro, quantum, age_ms, level):
    limit = SurgeLimit(level=level, quantum_micro=quantum)
    once = limit.multiplier_micro(micro, age_ms)
    assert once == micro or once % quantum == 0
    assert min(micro, MICRO - quantum) <= once
    state = zone_state("z1", multiplier_micro=micro)
    told = limit.apply(state, age_ms)
    assert (told is state) == (once == micro)
    assert (REASON in told.reasons) == (once != micro)


def test_limits_are_those_of_the_specification():
    def at(level: Level, micro: int, age_s: int = 0) -> float:
        return SurgeLimit(level=level).multiplier_micro(micro, age_s * 1000) / MICRO

    high = 3 * MICRO
    assert [at(level, high) for level in Level] == [3.0, 3.0, 2.0, 1.5, 1.0]
    assert [at(Level.SEVERE, high, age) for age in (240, 250, 299, 300, 900)] == [
        1.4,
        1.3,
        1.0,
        1.0,
        1.0,
    ]
    assert at(Level.CRITICAL, 900_000) == 0.9


@given(TRACES, MICROS, AGES_MS)
def test_worsening_inputs_never_raise_a_fare(trace, micro, age_ms):
    by_level = policies(ReadPolicy(), 50_000)
    state = initial(CONFIG, 0.0)
    for each, gap_s in trace:
        after, _ = step(CONFIG, state, each, state.last_s + gap_s)
        if after.effective >= state.effective:
            fares = [
                by_level[level].read.surge.multiplier_micro(micro, age_ms)
                for level in (state.effective, after.effective)
            ]
            assert fares[1] <= fares[0]
        state = after


@given(
    st.builds(
        ReadPolicy,
        redis_timeout_ms=st.integers(1, 500),
        redis_in_flight=st.integers(0, 64),
        database_in_flight=st.integers(0, 64),
        memo_ms=st.integers(0, 10_000),
    )
)
def test_no_level_widens_what_is_configured(base):
    for policy in policies(base, 50_000):
        read = policy.read
        assert read.redis_timeout_ms <= base.redis_timeout_ms
        assert read.redis_in_flight <= base.redis_in_flight
        assert read.database_in_flight <= base.database_in_flight
        assert read.memo_ms >= base.memo_ms
        assert bool(read.memo_ms) == bool(base.memo_ms)
        assert read.surge.level is policy.level
        assert policy.mode == policy.level.mode.value


def test_every_level_has_its_knobs():
    assert list(KNOBS) == list(Level)
