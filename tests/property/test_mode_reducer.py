"""The mode under traces that nobody thought of."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from fallback.mode import (
    Bounds,
    BoundsKind,
    Inputs,
    Level,
    ModeState,
    initial,
    recovery_bound_s,
    step,
)
from tests.support.mode_inputs import CONFIG, inputs, readings, run

LEVELS = st.sampled_from(Level)
FIGURES = st.one_of(st.floats(0, 60), st.sampled_from([5.0, 10.0, 15.0, 20.0, 30.0, 40.0]))
READINGS = st.builds(readings, FIGURES, FIGURES, LEVELS, hard=st.booleans())
BOUNDS = st.none() | st.builds(Bounds, st.sampled_from(BoundsKind), LEVELS)
GAPS = st.one_of(st.floats(0.0, 3.0), st.sampled_from([1.0, 0.1, 700.0]))


@st.composite
def moments(draw: st.DrawFn) -> tuple[Inputs, float]:
    known = draw(READINGS)
    missing = draw(st.sets(st.sampled_from(sorted(known)), max_size=2))
    seen = {name: value for name, value in known.items() if name not in missing}
    given_inputs = Inputs(
        readings=seen,
        is_ramping=draw(st.booleans()),
        bounds=draw(BOUNDS),
        is_released=draw(st.booleans()),
    )
    return given_inputs, draw(GAPS)


TRACES = st.lists(moments(), max_size=60)


def states(trace: list[tuple[Inputs, float]]) -> list[ModeState]:
    found = [initial(CONFIG, 0.0)]
    for each, gap_s in trace:
        found.append(step(CONFIG, found[-1], each, found[-1].last_s + gap_s)[0])
    return found


@given(TRACES)
def test_recorded_inputs_give_the_recorded_transitions(trace):
    assert states(trace) == states(trace)


@given(moments(), TRACES, st.randoms(use_true_random=False))
def test_order_of_inputs_within_tick_is_irrelevant(moment, trace, random):
    state = states(trace)[-1]
    each, gap_s = moment
    names = list(each.readings)
    random.shuffle(names)
    shuffled = replace(each, readings={name: each.readings[name] for name in names})
    now_s = state.last_s + gap_s
    assert step(CONFIG, state, each, now_s) == step(CONFIG, state, shuffled, now_s)


@given(LEVELS, st.data(), st.integers(1, 200))
def test_no_transition_inside_the_band(level, data, ticks):
    """At a level, with every figure between that level's exit and the next one's entry."""
    entry = {0: 10, 1: 20, 2: 30, 3: 40, 4: 100}[level]
    leave = {0: 0, 1: 5, 2: 15, 3: 25, 4: 35}[level]
    state = replace(initial(CONFIG, 0.0), computed=level, effective=level)
    hovering = st.floats(leave, entry, exclude_max=True)
    trace = [inputs(load=data.draw(hovering)) for _ in range(min(ticks, 20))] * 20
    after, events = run(CONFIG, trace, state=state)
    assert (after.computed, events) == (level, [])


@given(TRACES)
def test_level_rises_to_an_input_and_falls_stepwise(trace):
    found = states(trace)
    for old, new in pairwise(found):
        demanded = max(one.level for one in new.inputs.values())
        assert new.computed >= demanded
        if new.computed > old.computed:
            assert new.computed is demanded
        else:
            assert old.computed - new.computed <= 1


@given(TRACES)
def test_level_falls_only_after_its_dwell(trace):
    """Between a change of the computed level and a fall lies at least the dwell."""
    changed_s = 0.0
    found = states(trace)
    for old, new in pairwise(found):
        if new.computed < old.computed:
            assert new.last_s - changed_s >= CONFIG.down_dwell_s
        if new.computed is not old.computed:
            changed_s = new.last_s


@given(TRACES)
def test_nothing_improves_while_a_dependency_is_ramped_up(trace):
    """But for an operator's hand, and for the end of it."""
    found = states(trace)
    for (each, _), (old, new) in zip(trace, pairwise(found), strict=True):
        if each.is_ramping:
            assert new.computed >= old.computed
            if each.bounds is None and not each.is_released and old.effective >= old.computed:
                assert new.effective >= old.effective


@given(TRACES)
def test_bounds_hold_in_their_own_step(trace):
    found = states(trace)
    for (each, _), new in zip(trace, found[1:], strict=True):
        if each.bounds is not None:
            assert new.effective is each.bounds.apply(new.computed)
        elif each.is_released:
            assert new.effective is new.computed
        else:
            assert new.effective >= new.computed


@settings(max_examples=40)
@given(TRACES, st.sampled_from([0, 18, 90, 500]))
def test_healthy_inputs_lead_to_normal_within_the_bound(trace, ramping):
    state = states(trace)[-1]
    ticks = int(recovery_bound_s(CONFIG, ramping * CONFIG.tick_s) / CONFIG.tick_s) + 1
    ramps = [replace(inputs(), is_ramping=True)] * ramping
    state, _ = run(CONFIG, [*ramps, *[inputs()] * (ticks - ramping)], state=state)
    assert (state.computed, state.effective) == (Level.NORMAL, Level.NORMAL)
    assert not any(one.is_blind for one in state.inputs.values())


@given(TRACES)
def test_what_is_kept_stays_bounded(trace):
    state = states(trace)[-1]
    assert len(state.turns) <= 60
    assert all(len(one.history) <= CONFIG.median_ticks for one in state.inputs.values())


@given(TRACES)
def test_events_tell_every_change_of_level(trace):
    level = Level.NORMAL
    state = initial(CONFIG, 0.0)
    for each, gap_s in trace:
        state, events = step(CONFIG, state, each, state.last_s + gap_s)
        for event in events:
            if event.kind == "mode":
                assert event.old is level
                level = event.new
    assert state.effective is level
