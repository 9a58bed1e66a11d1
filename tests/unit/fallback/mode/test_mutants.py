"""Changes the mode's pure files in every listed way: their tests must notice each change."""

from __future__ import annotations

import functools

import pytest

from fallback.mode import config, input_level, reducer, scale, state
from tests.support.case_runner import CaseRunner
from tests.support.mutation import mutants, survivors
from tests.unit.fallback.mode import test_config, test_step

_BOTH_HAVE_FOUR = "both always have four"
EQUIVALENT = {
    # What is changed: why nothing can tell the difference.
    "input_level.py: _judged: spec.scale is None or isinstance(reading.value, str): "
    "operand 1 goes away": "the caller has looked; it says so to the type checker",
    "input_level.py: _streaks: zip(WORSE, was, strict=True): strict goes away": _BOTH_HAVE_FOUR,
    "input_level.py: _believed: zip(WORSE, streaks, strict=True): "
    "strict goes away": _BOTH_HAVE_FOUR,
    "scale.py: entered: zip(WORSE, self.bands, strict=True): strict goes away": _BOTH_HAVE_FOUR,
    "scale.py: kept: zip(WORSE, self.bands, strict=True): strict goes away": _BOTH_HAVE_FOUR,
}
MODULES = [reducer, input_level, scale, state, config]


@functools.cache
def the_tests() -> CaseRunner:
    return CaseRunner(test_step, test_config)


@pytest.mark.parametrize("module", MODULES, ids=[module.__name__ for module in MODULES])
def test_every_mutant_is_noticed_by_the_tests(module):
    assert survivors(module, the_tests(), EQUIVALENT) == []
    assert len(mutants(module)) > 30, "the mutator finds little to change"
