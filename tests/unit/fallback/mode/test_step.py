from __future__ import annotations

import math
from dataclasses import replace

import pytest

from fallback.mode import (
    Bounds,
    BoundsKind,
    EventKind,
    Inputs,
    InputState,
    Level,
    Reading,
    causes,
    initial,
    step,
)
from tests.support.mode_inputs import CONFIG, inputs, levels, readings, run

WELL = inputs()


def test_two_bad_ticks_change_nothing_and_the_third_does():
    state, events = run(CONFIG, [inputs(load=20)] * 2)
    assert (state.computed, events) == (Level.NORMAL, [])
    state, events = run(CONFIG, [inputs(load=20)], state=state)
    assert (state.effective, levels(events)) == (Level.MODERATE, ["normal>moderate"])


def test_interrupted_ticks_do_not_add_up():
    state, events = run(CONFIG, [inputs(load=20), inputs(load=20), WELL] * 5)
    assert (state.computed, levels(events)) == (Level.NORMAL, [])


def test_ticks_at_different_levels_give_the_level_that_all_reached():
    state, _ = run(CONFIG, [inputs(load=40), inputs(load=12), inputs(load=30)])
    assert state.computed is Level.MINOR


def test_worst_input_decides_and_not_how_many():
    state, _ = run(CONFIG, [inputs(load=12, latency=12, store=Level.MINOR)] * 9)
    assert state.computed is Level.MINOR
    state, _ = run(CONFIG, [inputs(load=12, store=Level.SEVERE)] * 3)
    assert state.computed is Level.SEVERE


def test_hard_cause_holds_at_once_also_between_ticks():
    state, events = run(CONFIG, [WELL])
    state, events = step(CONFIG, state, inputs(store=Level.SEVERE, hard=True), state.last_s + 0.1)
    assert (state.effective, levels(events)) == (Level.SEVERE, ["normal>severe"])


def test_hard_cause_that_is_no_worse_changes_nothing_between_ticks():
    state, _ = run(CONFIG, [inputs(store=Level.SEVERE, hard=True)])
    again = Reading(value="again", entered=Level.SEVERE, kept=Level.SEVERE, is_hard=True)
    each = Inputs(readings={"store": again})
    after, events = step(CONFIG, state, each, state.last_s + 0.1)
    assert (after.inputs, events) == (state.inputs, ())


@pytest.mark.parametrize("kept", [Level.NORMAL, Level.CRITICAL])
def test_hard_cause_between_ticks_is_all_that_is_known_of_its_input(kept):
    """But for a worse level that it had not left."""
    almost = Inputs(readings={**readings(), "store": Reading(value="slow", kept=kept)})
    state, _ = run(CONFIG, [almost])
    down = Reading(
        value="down", entered=Level.SEVERE, kept=Level.SEVERE, threshold="up", is_hard=True
    )
    state, _ = step(CONFIG, state, Inputs(readings={"store": down}), 1.1)
    assert state.inputs["store"] == InputState(
        seen_s=1.1,
        level=Level.SEVERE,
        kept=max(kept, Level.SEVERE),
        value="down",
        threshold="up",
    )


def test_hard_cause_between_ticks_ends_blindness():
    state, _ = run(CONFIG, [without("store")] * 30)
    assert state.inputs["store"].is_blind
    hard = inputs(store=Level.SEVERE, hard=True)
    state, _ = step(CONFIG, state, hard, state.last_s + 0.1)
    assert not state.inputs["store"].is_blind


def test_hard_cause_holds_at_once_on_a_tick():
    state, _ = run(CONFIG, [inputs(store=Level.CRITICAL, hard=True)])
    assert state.effective is Level.CRITICAL


def test_input_stands_at_its_level_until_it_leaves_the_band():
    state, _ = run(CONFIG, [inputs(load=20)] * 3)
    state, _ = run(CONFIG, [inputs(load=16)], state=state)
    assert state.inputs["load"].level is Level.MODERATE
    state, _ = run(CONFIG, [inputs(load=14)], state=state)
    assert state.inputs["load"].level is Level.MINOR


def test_steps_between_ticks_are_no_evidence_for_soft_causes():
    state, _ = run(CONFIG, [WELL])
    soft = inputs(load=40, store=Level.CRITICAL)
    for _ in range(20):
        state, events = step(CONFIG, state, soft, state.last_s + 0.01)
        assert not events
    assert state.computed is Level.NORMAL


@pytest.mark.parametrize(
    ("dt_s", "steps", "level"),
    [(0.5, 2, 0), (0.5, 3, 2), (0.49, 3, 0), (0.4, 5, 0), (0.4, 6, 2), (0.99, 3, 2)],
)
def test_step_counts_from_half_a_tick_after_the_last_that_did(dt_s, steps, level):
    state = initial(CONFIG, 0.0)
    state = replace(state, tick_s=0.0)
    for _ in range(steps):
        state, _ = step(CONFIG, state, inputs(load=20), state.last_s + dt_s)
    assert state.computed == level


def test_first_step_of_a_process_counts_however_soon_it_comes():
    state, _ = step(CONFIG, initial(CONFIG, 0.0), inputs(load=20), 0.1)
    assert state.inputs["load"].streaks == (1, 1, 0, 0)


def test_stall_is_witnessed_for_two_ticks_at_most():
    slow = replace(CONFIG, tick_s=4.0)
    state, _ = run(slow, [inputs(load=20)] * 9, dt_s=4.0)
    state, _ = step(slow, state, WELL, state.last_s + 500)
    assert state.calm_s == 8.0


def test_smoothed_input_ignores_single_spikes():
    spiky = [inputs(latency=100.0 if tick % 3 == 0 else 0.0) for tick in range(60)]
    state, events = run(CONFIG, spiky)
    assert (state.computed, events) == (Level.NORMAL, [])
    state, _ = run(CONFIG, [inputs(latency=100.0)] * 5)
    assert state.computed is Level.CRITICAL


def test_smoothed_input_takes_the_median_of_five():
    state, _ = run(CONFIG, [inputs(latency=value) for value in (1.0, 50.0, 21.0, 40.0, 3.0)])
    assert state.inputs["latency"].value == 21.0
    assert state.inputs["latency"].history == (1.0, 50.0, 21.0, 40.0, 3.0)


def test_way_down_is_one_level_a_dwell():
    state, _ = run(CONFIG, [inputs(load=30)] * 3)
    state, events = run(CONFIG, [WELL] * 59, state=state)
    assert (state.effective, events) == (Level.SEVERE, [])
    state, events = run(CONFIG, [WELL] * 121, state=state)
    assert levels(events) == ["severe>moderate", "moderate>minor", "minor>normal"]
    assert [event.at_s for event in events] == [63.0, 123.0, 183.0]
    assert [event.previous_s for event in events] == [60.0, 60.0, 60.0]


def test_one_tick_above_the_exit_begins_the_dwell_again():
    state, _ = run(CONFIG, [inputs(load=30)] * 3)
    state, _ = run(CONFIG, [WELL] * 59 + [inputs(load=26)], state=state)
    state, events = run(CONFIG, [WELL] * 59, state=state)
    assert not events
    state, events = run(CONFIG, [WELL], state=state)
    assert levels(events) == ["severe>moderate"]


def test_value_in_the_band_below_holds_only_its_own_level():
    state, _ = run(CONFIG, [inputs(load=30)] * 3)
    state, events = run(CONFIG, [inputs(load=7)] * 500, state=state)
    assert levels(events) == ["severe>moderate", "moderate>minor"]
    assert state.effective is Level.MINOR


def test_mode_does_not_improve_while_a_dependency_is_ramped_up():
    state, _ = run(CONFIG, [inputs(load=20)] * 3)
    ramping = replace(WELL, is_ramping=True)
    state, events = run(CONFIG, [ramping] * 300, state=state)
    assert (state.effective, events) == (Level.MODERATE, [])
    state, events = run(CONFIG, [WELL] * 60, state=state)
    assert [(event.new, event.at_s) for event in events] == [(Level.MINOR, 304.0)]


def test_dwell_runs_while_a_dependency_is_ramped_up():
    state, _ = run(CONFIG, [inputs(load=20)] * 3)
    state, events = run(CONFIG, [replace(WELL, is_ramping=True)] * 18 + [WELL] * 102, state=state)
    assert [(event.new, event.at_s) for event in events] == [
        (Level.MINOR, 63.0),
        (Level.NORMAL, 123.0),
    ]


def test_input_above_the_exit_begins_the_dwell_again_during_a_ramp():
    state, _ = run(CONFIG, [inputs(load=20)] * 3)
    ramping = replace(WELL, is_ramping=True)
    trace = [ramping] * 50 + [replace(inputs(load=16), is_ramping=True)] + [WELL] * 60
    state, events = run(CONFIG, trace, state=state)
    assert [(event.new, event.at_s) for event in events] == [(Level.MINOR, 114.0)]


def test_stall_is_no_evidence_either_way():
    state, _ = run(CONFIG, [WELL, inputs(load=40)])
    state, events = step(CONFIG, state, inputs(load=40), state.last_s + 500)
    assert (state.computed, events) == (Level.NORMAL, ())
    state, _ = run(CONFIG, [inputs(load=40)], state=state)
    assert state.computed is Level.CRITICAL
    state, events = step(CONFIG, state, WELL, state.last_s + 500)
    assert (state.computed, state.calm_s) == (Level.CRITICAL, 2.0)


def test_time_that_goes_back_counts_as_none():
    state, _ = run(CONFIG, [inputs(load=20)] * 3 + [WELL])
    before = replace(state, calm_s=10.0)
    state, events = step(CONFIG, before, WELL, state.last_s - 1_000)
    assert (state.last_s, state.calm_s, events) == (before.last_s, 10.0, ())


def without(name: str) -> Inputs:
    return Inputs(readings={key: value for key, value in readings().items() if key != name})


def test_missing_input_keeps_its_level_and_then_is_blind():
    state, _ = run(CONFIG, [inputs(store=Level.SEVERE)] * 3)
    state, events = run(CONFIG, [without("store")] * 29, state=state)
    assert (state.inputs["store"].level, state.inputs["store"].is_blind) == (Level.SEVERE, False)
    state, events = run(CONFIG, [without("store")], state=state)
    assert state.inputs["store"].level is Level.MINOR
    assert [(event.kind, event.input) for event in events] == [(EventKind.BLIND, "store")]


def test_blind_input_forgets_what_it_had_seen():
    state, _ = run(CONFIG, [inputs(latency=50.0)] * 6)
    assert state.inputs["latency"].level is Level.CRITICAL
    state, _ = run(CONFIG, [without("latency")] * 30, state=state)
    assert state.inputs["latency"] == InputState(
        seen_s=6.0, level=Level.MINOR, kept=Level.MINOR, is_blind=True
    )


def test_blind_input_is_minor_until_it_is_seen_again():
    state, events = run(CONFIG, [without("load")] * 60)
    assert (state.effective, levels(events)) == (Level.MINOR, ["normal>minor"])
    state, events = run(CONFIG, [WELL] * 60, state=state)
    assert [event.kind for event in events] == [EventKind.SIGHTED, EventKind.MODE]
    assert state.effective is Level.NORMAL


def test_figure_that_is_no_number_is_no_reading():
    broken = Inputs(readings={**readings(), "load": Reading(value=math.nan)})
    state, _ = run(CONFIG, [broken] * 60)
    assert state.inputs["load"].is_blind


def test_word_for_an_input_with_a_scale_is_refused():
    with pytest.raises(ValueError, match="load: value='high'"):
        run(CONFIG, [Inputs(readings={"load": Reading(value="high")})])


def test_third_relapse_holds_five_minutes():
    relapse = [inputs(load=10)] * 3 + [WELL] * 60
    state, events = run(CONFIG, relapse * 3)
    assert state.hold_until_s is None
    state, events = run(CONFIG, [*relapse, *[WELL] * 239], state=state)
    assert levels(events) == ["normal>minor"]
    assert state.hold_until_s == events[0].at_s + 300
    state, events = run(CONFIG, [WELL] * 2, state=state)
    assert [(event.new, event.at_s) for event in events] == [(Level.NORMAL, state.hold_until_s)]


def test_five_turns_in_ten_minutes_are_flapping_and_a_single_outage_is_not():
    state, events = run(CONFIG, [inputs(load=40)] * 3 + [WELL] * 240)
    assert (len(levels(events)), state.is_flapping) == (5, False)
    relapse = [inputs(load=10)] * 3 + [WELL] * 60
    state, events = run(CONFIG, relapse * 2 + [inputs(load=10)] * 3)
    assert [event.kind for event in events if event.kind != "mode"] == [EventKind.FLAPPING]
    state, events = run(CONFIG, [WELL] * 700, state=state)
    assert [event.kind for event in events if event.kind != "mode"] == [EventKind.STEADY]


def test_turns_and_relapses_are_forgotten_after_their_windows():
    state, _ = run(CONFIG, [inputs(load=10)] * 3 + [WELL] * 30)
    assert (state.turns, state.direction, state.reentries) == ((3.0,), 1, ())
    state, _ = run(CONFIG, [WELL] * 30 + [inputs(load=10)] * 3, state=state)
    assert (state.turns, state.direction) == ((3.0, 63.0, 66.0), 1)
    assert state.reentries == (66.0,)
    state, _ = run(CONFIG, [WELL] * 536, state=state)
    assert (state.last_s, state.turns[0], state.direction) == (602.0, 3.0, -1)
    state, _ = run(CONFIG, [WELL], state=state)
    assert state.turns == (63.0, 66.0, 126.0)
    state, _ = run(CONFIG, [WELL] * 62, state=state)
    assert (state.last_s, state.reentries) == (665.0, (66.0,))
    state, _ = run(CONFIG, [WELL], state=state)
    assert state.reentries == ()


def bounded(kind: BoundsKind, level: Level, **more: float) -> Inputs:
    return replace(inputs(**more), bounds=Bounds(kind, level))


@pytest.mark.parametrize(
    ("kind", "effective"),
    [
        (BoundsKind.FLOOR, [2, 2, 2, 3, 4]),
        (BoundsKind.PIN, [2, 2, 2, 2, 2]),
        (BoundsKind.CEILING, [0, 1, 2, 2, 2]),
    ],
)
def test_bounds_obey_their_kind(kind, effective):
    bounds = Bounds(kind, Level.MODERATE)
    assert [bounds.apply(level) for level in Level] == effective


def test_override_holds_at_once_and_the_computed_level_goes_its_own_way():
    state, events = run(CONFIG, [bounded(BoundsKind.FLOOR, Level.SEVERE)])
    assert levels(events) == ["normal>severe"]
    assert state.computed is Level.NORMAL
    state, events = run(CONFIG, [bounded(BoundsKind.FLOOR, Level.SEVERE, load=10)] * 3, state=state)
    assert [(event.kind, event.new) for event in events] == [(EventKind.COMPUTED, Level.MINOR)]


def test_expired_override_goes_down_with_a_dwell_a_level():
    state, _ = run(CONFIG, [bounded(BoundsKind.PIN, Level.MODERATE)] * 100)
    state, events = run(CONFIG, [WELL] * 59, state=state)
    assert not events
    state, events = run(CONFIG, [WELL] * 61, state=state)
    assert levels(events) == ["moderate>minor", "minor>normal"]
    assert [event.at_s for event in events] == [160.0, 220.0]


def test_override_that_ends_as_the_computed_level_falls_is_followed_by_a_dwell():
    state, _ = run(CONFIG, [inputs(load=20)] * 3)
    state, _ = run(CONFIG, [bounded(BoundsKind.FLOOR, Level.MODERATE)] * 59, state=state)
    assert not state.is_recovering
    state, events = run(CONFIG, [WELL], state=state)
    assert (state.computed, state.effective) == (Level.MINOR, Level.MODERATE)
    assert [event.kind for event in events] == [EventKind.COMPUTED]


def test_event_tells_its_levels_its_causes_and_the_bounds():
    blind = replace(without("store"), bounds=Bounds(BoundsKind.FLOOR, Level.SEVERE))
    state, events = run(CONFIG, [blind] * 30)
    computed, lost = events[-2:]
    assert (computed.kind, computed.old, computed.new) == ("computed", Level.NORMAL, Level.MINOR)
    assert (lost.kind, lost.old, lost.new) == ("blind", Level.SEVERE, Level.SEVERE)
    assert (lost.bounds, lost.causes) == (blind.bounds, causes(state))
    assert [cause.input for cause in lost.causes] == ["store"]


def test_expired_override_leaves_a_computed_level_that_is_as_bad():
    quick = replace(CONFIG, down_dwell_s=1.0)
    state, _ = run(quick, [bounded(BoundsKind.FLOOR, Level.SEVERE, load=30)] * 9)
    state, events = run(quick, [inputs(load=30)] * 9, state=state)
    assert (state.effective, events) == (Level.SEVERE, [])


def test_expired_override_does_not_go_down_while_a_dependency_is_ramped_up():
    state, _ = run(CONFIG, [bounded(BoundsKind.PIN, Level.MINOR)] * 9)
    ramping = replace(WELL, is_ramping=True)
    state, events = run(CONFIG, [ramping] * 100, state=state)
    assert (state.effective, events) == (Level.MINOR, [])
    state, events = run(CONFIG, [WELL], state=state)
    assert levels(events) == ["minor>normal"]


def test_expired_override_goes_up_at_once():
    state, _ = run(CONFIG, [bounded(BoundsKind.CEILING, Level.NORMAL, load=30)] * 9)
    state, events = run(CONFIG, [inputs(load=30)], state=state)
    assert levels(events) == ["normal>severe"]


def test_released_override_holds_no_longer():
    state, _ = run(CONFIG, [bounded(BoundsKind.FLOOR, Level.CRITICAL)] * 9)
    state, events = run(CONFIG, [replace(WELL, is_released=True)], state=state)
    assert levels(events) == ["critical>normal"]


def test_causes_name_value_threshold_and_level_worst_first():
    state, _ = run(CONFIG, [inputs(load=12, store=Level.SEVERE)] * 3)
    assert [(one.input, one.value, one.threshold, one.level) for one in causes(state)] == [
        ("store", "severe", None, Level.SEVERE),
        ("load", 12, 10, Level.MINOR),
    ]
    assert not state.is_recovering
    state, _ = run(CONFIG, [WELL], state=state)
    assert (causes(state), state.is_recovering) == ((), True)


def test_process_may_begin_at_a_level():
    assert initial(CONFIG, 5.0, Level.SEVERE).effective is Level.SEVERE
