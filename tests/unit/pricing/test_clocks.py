from __future__ import annotations

import pytest

from pricing.clocks import StateClock, wall_is_right
from pricing.model import Source
from pricing.reading.answer import state_answer
from tests.support.api import ZONES
from tests.support.zone_states import TICK_MS, zone_state

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Machine:
    """A wall clock that can be set, and time that only passes."""

    def __init__(self, wall_ms=TICK_MS):
        self.wall_ms = wall_ms
        self.elapsed_s = 1234.5

    def passes(self, s):
        self.wall_ms += int(s * 1000)
        self.elapsed_s += s


@pytest.fixture
def machine():
    return Machine()


@pytest.fixture
def clock(machine):
    return StateClock(lambda: machine.wall_ms, lambda: machine.elapsed_s)


def test_clock_starts_at_wall_and_runs_steadily(machine, clock):
    assert clock.now_ms() == TICK_MS
    machine.passes(90)
    assert clock.now_ms() == TICK_MS + 90_000


@pytest.mark.parametrize("step_ms", [-DAY_MS, -HOUR_MS, HOUR_MS, DAY_MS])
def test_step_of_the_wall_changes_no_age(machine, clock, step_ms):
    machine.wall_ms += step_ms
    machine.passes(10)
    assert clock.now_ms() == TICK_MS + 10_000


@pytest.mark.parametrize("step_ms", [-HOUR_MS, HOUR_MS])
def test_step_of_this_machine_alone_is_not_believed(machine, clock, step_ms):
    machine.wall_ms += step_ms
    machine.passes(10)
    clock.settle(TICK_MS + 9_000)
    assert (clock.now_ms(), clock.steps_total) == (TICK_MS + 10_000, 0)


@pytest.mark.parametrize("off_ms", [-HOUR_MS, HOUR_MS])
def test_wrong_clock_is_corrected_by_a_state(machine, off_ms):
    machine.wall_ms = TICK_MS + off_ms
    clock = StateClock(lambda: machine.wall_ms, lambda: machine.elapsed_s)
    clock.settle(TICK_MS - 1_000)
    assert clock.now_ms() == TICK_MS + off_ms, "nothing better is known yet"
    machine.wall_ms = TICK_MS
    clock.settle(TICK_MS - 1_000)
    assert (clock.now_ms(), clock.steps_total) == (TICK_MS, 1)


def test_old_states_alone_move_no_clock():
    own, wall = TICK_MS + 2 * HOUR_MS, TICK_MS + HOUR_MS
    assert not wall_is_right(own, wall, TICK_MS)
    assert not wall_is_right(wall, own, TICK_MS)


@pytest.mark.parametrize("difference_ms", [-2_000, 0, 2_000])
def test_small_difference_is_left_alone(difference_ms):
    assert not wall_is_right(TICK_MS, TICK_MS + difference_ms, TICK_MS + 60_000)


def test_clock_is_not_before_what_was_written(machine, clock):
    clock.not_before(TICK_MS - 1)
    assert clock.now_ms() == TICK_MS
    clock.not_before(TICK_MS + HOUR_MS)
    machine.passes(1)
    assert clock.now_ms() == TICK_MS + HOUR_MS + 1_000


def test_confidence_never_rises_whatever_the_wall_does(machine, clock):
    state = zone_state("z1", TICK_MS + 30_000)  # from the future
    seen = []
    for step_ms in (0, -HOUR_MS, DAY_MS, -DAY_MS, HOUR_MS) * 40:
        machine.wall_ms += step_ms
        machine.passes(3)
        answer = state_answer(
            ZONES[0],
            state,
            source=Source.STALE_CACHE,
            reason=None,
            now_ms=clock.now_ms(),
            tick_ms=5_000,
        )
        seen.append((answer.age_ms, answer.confidence_percent))
    ages, confidences = zip(*seen, strict=True)
    assert ages[0] == 0
    assert list(ages) == sorted(ages)
    assert list(confidences) == sorted(confidences, reverse=True)
