"""The step: `(state, inputs, now) → (state, events)`.

- Severity is the maximum over the inputs, never a count of failures and never a sum.
- Up: once an input stood at a level for `up_ticks` regular steps, or at once on a hard cause;
  straight to the worst level.
- Down: one level, after `down_dwell_s` in which every input was below that level's exit; not
  while a dependency is being ramped up or a hold is on, but the dwell runs meanwhile.
- Only witnessed time counts: a stalled process neither escalates nor recovers by its stall.
- An operator's bounds hold at once. When they expire, a worse computed level holds at once; a
  better one is reached one level at a time, each after its dwell.
"""

from __future__ import annotations

from dataclasses import replace

from fallback.mode.config import ModeConfig
from fallback.mode.input_level import after_hard_cause, after_tick
from fallback.mode.level import Level
from fallback.mode.state import Bounds, EventKind, Inputs, InputState, ModeEvent, ModeState, causes

_LONGEST_STEP = 2.0
"""A step is witness of at most so many ticks: what lay before them was not seen."""


def initial(config: ModeConfig, now_s: float, level: Level = Level.NORMAL) -> ModeState:
    """The state of a process that begins; nothing is blind yet."""
    return ModeState(
        computed=level,
        effective=level,
        since_s=now_s,
        inputs={spec.name: InputState(seen_s=now_s) for spec in config.inputs},
        last_s=now_s,
        tick_s=now_s - config.tick_s,
    )


def recovery_bound_s(config: ModeConfig, ramp_s: float = 0.0) -> float:
    """With healthy inputs and no override, and ramps done after `ramp_s`, normal comes within this.

    The worst case: every input must first be forgotten by the median, a hold has just begun,
    and an override had just ended at CRITICAL. Dwells end on a tick.
    """
    forget_s = config.median_ticks * config.tick_s
    held_s = max(config.hold_s, ramp_s)
    return forget_s + held_s + Level.CRITICAL * (config.down_dwell_s + config.tick_s)


def step(
    config: ModeConfig, state: ModeState, inputs: Inputs, now_s: float
) -> tuple[ModeState, tuple[ModeEvent, ...]]:
    """Take what is known now. Monotonic time; a step back in time counts as none."""
    now_s = max(now_s, state.last_s)
    # Half a tick of slack: a timer that comes a little early must not lose its evidence, and
    # steps that a hard cause asked for in between must not count as evidence.
    is_regular = now_s - state.tick_s >= config.tick_s / 2
    after = replace(
        state,
        inputs=_feel(config, state, inputs, now_s, is_regular=is_regular),
        last_s=now_s,
        tick_s=now_s if is_regular else state.tick_s,
    )
    seen_s = min(now_s - state.last_s, _LONGEST_STEP * config.tick_s)
    moved = _compute(config, after, inputs, seen_s)
    bounded = _bound(config, state, moved, inputs, seen_s)
    return bounded, _events(state, bounded, inputs.bounds)


def _feel(
    config: ModeConfig, state: ModeState, inputs: Inputs, now_s: float, *, is_regular: bool
) -> dict[str, InputState]:
    after = {}
    for spec in config.inputs:
        was, reading = state.inputs[spec.name], inputs.readings.get(spec.name)
        after[spec.name] = (
            after_tick(config, spec, was, reading, now_s)
            if is_regular
            else after_hard_cause(spec, was, reading, now_s)
        )
    return after


def _compute(config: ModeConfig, state: ModeState, inputs: Inputs, seen_s: float) -> ModeState:
    """Move the computed level. `seen_s`: the time that this step is witness of."""
    demanded = max(one.level for one in state.inputs.values())
    # Up first: a step that demands a worse level is no witness of calm.
    if demanded > state.computed:
        return _turned(config, replace(state, computed=demanded, calm_s=0.0), +1)
    kept = max(one.kept for one in state.inputs.values())
    if state.computed is Level.NORMAL or kept >= state.computed:
        return _turned(config, replace(state, calm_s=0.0), 0)
    # Runs through ramps and holds, which only keep the level: else a dependency that comes back
    # in steps would cost its ramp and a dwell on top.
    calm_s = state.calm_s + seen_s
    is_held = state.hold_until_s is not None and state.last_s < state.hold_until_s
    if calm_s < config.down_dwell_s or is_held or inputs.is_ramping:
        return _turned(config, replace(state, calm_s=calm_s), 0)
    return _turned(config, replace(state, computed=Level(state.computed - 1), calm_s=0.0), -1)


def _turned(config: ModeConfig, state: ModeState, direction: int) -> ModeState:
    """Note a change of direction, forget old ones, and judge what that means."""
    now_s = state.last_s
    turns = tuple(turn for turn in state.turns if now_s - turn < config.flap_window_s)
    reentries = tuple(one for one in state.reentries if now_s - one < config.reentry_window_s)
    hold_until_s = state.hold_until_s
    # Several levels one way are one turn: an outage and its recovery make two, however deep.
    if direction and direction != state.direction:
        turns = (*turns, now_s)
        if state.direction < 0:
            reentries = (*reentries, now_s)
            if len(reentries) >= config.hold_after_reentries:
                hold_until_s = now_s + config.hold_s
    return replace(
        state,
        turns=turns,
        reentries=reentries,
        hold_until_s=hold_until_s,
        direction=direction or state.direction,
        is_flapping=len(turns) >= config.flap_turns,
    )


def _bound(
    config: ModeConfig, old: ModeState, new: ModeState, inputs: Inputs, seen_s: float
) -> ModeState:
    """Move the level in effect: the operator's bounds, and the way back from them."""
    settled_s = 0.0
    # Not while it was bounded, even at the same level: bounds that end are followed by a dwell.
    is_in_step = old.effective is old.computed and not old.was_bounded
    if inputs.bounds is not None:
        effective = inputs.bounds.apply(new.computed)
    elif inputs.is_released or is_in_step or new.computed >= old.effective:
        effective = new.computed
    else:
        effective, settled_s = old.effective, old.settled_s + seen_s
        if settled_s >= config.down_dwell_s and not inputs.is_ramping:
            effective, settled_s = Level(old.effective - 1), 0.0
    return replace(
        new,
        effective=effective,
        settled_s=settled_s,
        was_bounded=inputs.bounds is not None,
        since_s=old.since_s if effective is old.effective else new.last_s,
    )


def _events(old: ModeState, new: ModeState, bounds: Bounds | None) -> tuple[ModeEvent, ...]:
    kinds: list[tuple[EventKind, str | None]] = []
    if new.effective is not old.effective:
        kinds.append((EventKind.MODE, None))
    elif new.computed is not old.computed:
        kinds.append((EventKind.COMPUTED, None))
    for name, one in new.inputs.items():
        if one.is_blind is not old.inputs[name].is_blind:
            kinds.append((EventKind.BLIND if one.is_blind else EventKind.SIGHTED, name))
    if new.is_flapping is not old.is_flapping:
        kinds.append((EventKind.FLAPPING if new.is_flapping else EventKind.STEADY, None))
    return tuple(_event(kind, name, old, new, bounds) for kind, name in kinds)


def _event(
    kind: EventKind, name: str | None, old: ModeState, new: ModeState, bounds: Bounds | None
) -> ModeEvent:
    levels = (new.effective, new.effective)
    if kind is EventKind.MODE:
        levels = (old.effective, new.effective)
    elif kind is EventKind.COMPUTED:
        levels = (old.computed, new.computed)
    return ModeEvent(
        kind=kind,
        at_s=new.last_s,
        old=levels[0],
        new=levels[1],
        causes=causes(new),
        input=name,
        bounds=bounds,
        previous_s=new.last_s - old.since_s,
    )
