"""Every listed fault in the reducer is noticed by its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.listed_mutants import Mutant, survives

TESTS = ("tests/unit/fallback/mode/test_step.py", "tests/unit/fallback/mode/test_config.py")
_REDUCER, _FEELING = "fallback/mode/reducer.py", "fallback/mode/input_level.py"
_SCALE, _STATE, _CONFIG = (f"fallback/mode/{name}.py" for name in ("scale", "state", "config"))

MUTANTS = [
    Mutant(_REDUCER, "if demanded > state.computed", "if demanded >= state.computed"),
    Mutant(_REDUCER, "computed=demanded, calm_s", "computed=Level(state.computed + 1), calm_s"),
    Mutant(_REDUCER, "demanded = max(", "demanded = min("),
    Mutant(_REDUCER, "kept = max(", "kept = min("),
    Mutant(_REDUCER, "kept >= state.computed", "kept > state.computed"),
    Mutant(_REDUCER, " or inputs.is_ramping:", ":"),
    Mutant(_REDUCER, " and not inputs.is_ramping:", ":"),
    Mutant(_REDUCER, "if calm_s < config.down_dwell_s", "if calm_s <= config.down_dwell_s"),
    Mutant(_REDUCER, " or is_held or", " or"),
    Mutant(_REDUCER, "state.last_s < state.hold_until_s", "state.last_s <= state.hold_until_s"),
    Mutant(_REDUCER, "Level(state.computed - 1)", "Level.NORMAL"),
    Mutant(_REDUCER, "calm_s = state.calm_s + seen_s", "calm_s = seen_s"),
    Mutant(_REDUCER, "_LONGEST_STEP = 2.0", "_LONGEST_STEP = 1e9"),
    Mutant(_REDUCER, "now_s = max(now_s, state.last_s)", "pass"),
    Mutant(_REDUCER, ">= config.tick_s / 2", ">= 0"),
    Mutant(_REDUCER, "if state.direction < 0", "if True"),
    Mutant(_REDUCER, "len(reentries) >= config.hold", "len(reentries) > config.hold"),
    Mutant(_REDUCER, "len(turns) >= config.flap", "len(turns) > config.flap"),
    Mutant(_REDUCER, "if direction and direction != state.direction", "if direction"),
    Mutant(_REDUCER, "now_s - turn < config.flap_window_s", "True"),
    Mutant(_REDUCER, "hold_until_s = now_s + config.hold_s", "hold_until_s = now_s"),
    Mutant(_REDUCER, "inputs.is_released or is_in_step", "is_in_step"),
    Mutant(_REDUCER, " or new.computed >= old.effective", ""),
    Mutant(_REDUCER, "if settled_s >= config.down_dwell_s", "if True"),
    Mutant(_REDUCER, "Level(old.effective - 1), 0.0", "new.computed, 0.0"),
    Mutant(_REDUCER, "old.settled_s + seen_s", "seen_s"),
    Mutant(_REDUCER, "elif new.computed is not old.computed", "elif False"),
    Mutant(_REDUCER, "config.median_ticks * config.tick_s", "0.0"),
    Mutant(_REDUCER, "max(config.hold_s, ramp_s)", "config.hold_s"),
    Mutant(_REDUCER, "Level.CRITICAL * (", "Level.SEVERE * ("),
    Mutant(_REDUCER, "(config.down_dwell_s + config.tick_s)", "config.down_dwell_s"),
    Mutant(_REDUCER, ">= config.tick_s / 2", "> config.tick_s / 2"),
    Mutant(_REDUCER, "config.tick_s / 2", "config.tick_s / 3"),
    Mutant(_REDUCER, "_LONGEST_STEP * config.tick_s", "_LONGEST_STEP"),
    Mutant(_REDUCER, "calm_s=0.0), +1)", "calm_s=0.0), +2)"),
    Mutant(_REDUCER, "replace(state, calm_s=calm_s), 0)", "replace(state, calm_s=calm_s), -1)"),
    Mutant(_REDUCER, "now_s - turn < config", "now_s - turn <= config"),
    Mutant(_REDUCER, "now_s - one < config", "now_s - one <= config"),
    Mutant(_REDUCER, "now_s - one < config", "now_s + one < config"),
    Mutant(_REDUCER, "new.computed >= old.effective", "new.computed > old.effective"),
    Mutant(_REDUCER, "Level(old.effective - 1), 0.0", "Level(old.effective - 1), 1.0"),
    Mutant(_REDUCER, "return bounded, _events", "return moved, _events"),
    Mutant(_FEELING, "reading.entered <= was.level", "reading.entered < was.level"),
    Mutant(_FEELING, "value = median(history)", "pass"),
    Mutant(_FEELING, "max(believed, min(was.level, reading.kept))", "believed"),
    Mutant(_FEELING, "min(was.level, reading.kept)", "reading.kept"),
    Mutant(_FEELING, "streak + 1 if entered >= level", "streak + 1 if entered > level"),
    Mutant(_FEELING, "if entered >= level else 0", "if entered >= level else streak"),
    Mutant(_FEELING, "if streak >= config.up_ticks", "if streak > config.up_ticks"),
    Mutant(_FEELING, "was.seen_s < config.blind_after_s", "was.seen_s <= config.blind_after_s"),
    Mutant(_FEELING, "level=Level.MINOR,", "level=was.level,"),
    Mutant(_FEELING, "[-config.median_ticks :]", "[-1:]"),
    Mutant(_FEELING, "value = median(history)", "value = max(history)"),
    Mutant(_FEELING, "not reading.is_hard or ", ""),
    Mutant(_FEELING, "if reading.is_hard:", "if False:"),
    Mutant(_FEELING, "math.isnan(reading.value)", "False"),
    Mutant(_SCALE, "value >= band.enter", "value > band.enter"),
    Mutant(_SCALE, "value >= band.exit", "value > band.exit"),
    Mutant(_SCALE, "0 <= self.exit < self.enter", "0 <= self.exit <= self.enter"),
    Mutant(_SCALE, "0 <= self.exit < self.enter", "0 < self.exit < self.enter"),
    Mutant(_SCALE, "0 <= self.exit < self.enter", "1 <= self.exit < self.enter"),
    Mutant(_SCALE, "low.exit < high.exit", "low.exit <= high.exit"),
    Mutant(_SCALE, "low.enter < high.enter", "low.enter <= high.enter"),
    Mutant(_STATE, "return max(self.level, computed)", "return self.level"),
    Mutant(_STATE, "return min(self.level, computed)", "return self.level"),
    Mutant(_STATE, "-cause.level, cause.input", "cause.level, cause.input"),
    Mutant(_CONFIG, "math.ceil(", "math.floor("),
    Mutant(_CONFIG, "max(1, math", "max(0, math"),
    Mutant(_CONFIG, "self.down_dwell_s >= self.tick_s", "self.down_dwell_s > self.tick_s"),
    Mutant(_CONFIG, "getattr(self, name) >= 1", "getattr(self, name) > 1"),
    Mutant(_CONFIG, "0 <= getattr(self, name) < math.inf", "0 < getattr(self, name) < math.inf"),
    Mutant(_CONFIG, "0 <= getattr(self, name) < math.inf", "0 <= getattr(self, name)"),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_listed_mutant_is_killed(mutant: Mutant, tmp_path: Path) -> None:
    assert not survives(mutant, TESTS, tmp_path)
