"""Levels, thresholds and dwells, and which of them are refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fallback.mode import Band, InputSpec, Level, Mode, ModeConfig, Reading, Scale, recovery_bound_s
from tests.support.mode_inputs import CONFIG, SCALE


def test_levels_belong_to_three_modes():
    assert [level.mode for level in Level] == [
        Mode.NORMAL,
        Mode.DEGRADED,
        Mode.DEGRADED,
        Mode.EMERGENCY,
        Mode.EMERGENCY,
    ]
    assert Level.parse("severe") is Level.SEVERE
    with pytest.raises(ValueError, match="level='worse'"):
        Level.parse("worse")


@pytest.mark.parametrize(
    ("value", "entered", "kept"),
    [(4, 0, 0), (5, 0, 1), (9, 0, 1), (10, 1, 1), (15, 1, 2), (20, 2, 2), (36, 3, 4), (40, 4, 4)],
)
def test_scale_has_a_band_for_each_level(value, entered, kept):
    assert (SCALE.entered(value), SCALE.kept(value)) == (entered, kept)


def test_threshold_is_where_the_level_begins():
    scale = Scale(moderate=Band(20, 10))
    assert SCALE.threshold(Level.SEVERE) == 30
    assert (scale.threshold(Level.NORMAL), scale.threshold(Level.MINOR)) == (20, None)
    assert Scale().threshold(Level.NORMAL) is None


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": ()},
        {"inputs": (InputSpec(name="a"), InputSpec(name="a"))},
        {"tick_s": 0.0},
        {"up_dwell_s": -1.0},
        {"down_dwell_s": 0.5},
        {"down_dwell_s": math.inf},
        {"hold_s": -1.0},
        {"flap_turns": 0},
        {"median_ticks": 0},
        {"hold_after_reentries": 0},
        {"blind_after_s": -0.1},
        {"hold_s": math.inf},
    ],
)
def test_bad_configuration_is_refused_naming_the_field(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        replace(CONFIG, **change)


@pytest.mark.parametrize(
    "change",
    [
        {"hold_s": 0.0},
        {"hold_s": 0.5},
        {"blind_after_s": 0.0},
        {"down_dwell_s": 1.0},
        {"flap_turns": 1},
        {"median_ticks": 1},
        {"hold_after_reentries": 1},
    ],
)
def test_least_values_are_taken(change):
    (name,) = change
    assert getattr(replace(CONFIG, **change), name) == change[name]


@pytest.mark.parametrize(("enter", "leave"), [(5, 5), (5, 6), (5, -1), (math.inf, 1)])
def test_band_needs_an_exit_below_its_entry(enter, leave):
    with pytest.raises(ValueError, match="exit must be lower"):
        Band(enter, leave)


@pytest.mark.parametrize("leave", [0, 0.5])
def test_band_may_end_at_nothing(leave):
    scale = Scale(minor=Band(5, leave))
    assert (scale.kept(leave), scale.kept(leave - 0.1)) == (Level.MINOR, Level.NORMAL)


def test_scale_needs_greater_thresholds_for_worse_levels():
    with pytest.raises(ValueError, match="worse level"):
        Scale(minor=Band(10, 5), severe=Band(10, 6))
    with pytest.raises(ValueError, match="worse level"):
        Scale(minor=Band(10, 5), severe=Band(20, 5))


def test_scale_takes_greater_thresholds_and_may_leave_levels_out():
    scale = Scale(moderate=Band(20, 10), critical=Band(30, 20))
    assert [scale.entered(value) for value in (19, 20, 30)] == [0, 2, 4]


def test_reading_that_leaves_before_it_enters_is_refused():
    with pytest.raises(ValueError, match="kept"):
        Reading(value="x", entered=Level.MINOR)


def test_up_dwell_is_counted_in_whole_ticks():
    assert [replace(CONFIG, up_dwell_s=dwell).up_ticks for dwell in (1e-12, 0.1, 1, 1.5, 3)] == [
        1,
        1,
        1,
        2,
        3,
    ]
    assert ModeConfig(inputs=CONFIG.inputs, tick_s=0.1, up_dwell_s=0.3).up_ticks == 3


def test_recovery_bound_adds_up_the_worst_of_everything():
    assert recovery_bound_s(CONFIG) == 5 + 300 + 4 * 61
    assert recovery_bound_s(CONFIG, 299) == recovery_bound_s(CONFIG)
    assert recovery_bound_s(replace(CONFIG, tick_s=2.0), 500) == 10 + 500 + 4 * 62
