"""Every listed fault in the reducer is noticed by its tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.listed_mutants import Mutant, survives

TESTS = ("tests/unit/fallback/test_mode_step.py",)
_REDUCER, _FEELING = "fallback/mode/reducer.py", "fallback/mode/feeling.py"
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
    Mutant(_REDUCER, "direction > 0 and state.direction < 0", "direction > 0"),
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
    Mutant(_STATE, "return max(self.level, computed)", "return self.level"),
    Mutant(_STATE, "return min(self.level, computed)", "return self.level"),
    Mutant(_STATE, "-cause.level, cause.input", "cause.level, cause.input"),
    Mutant(_CONFIG, "math.ceil(", "math.floor("),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_listed_mutant_is_killed(mutant: Mutant, tmp_path: Path) -> None:
    assert not survives(mutant, TESTS, tmp_path)
