"""Changes the breaker's pure files in every listed way: the model must notice each change."""

from __future__ import annotations

from random import Random

import pytest

from fallback import ring
from fallback.breaker import Machine, machine, window
from tests.support.breaker_model import CONFIG, Pair, falls_again, walk
from tests.support.case_runner import CaseRunner
from tests.support.mutation import mutants, survivors
from tests.unit.fallback import test_sketch

_WALKS, _STEPS = 120, 80

_OVERWRITTEN = "set again before it is read"
_OPAQUE = "a probe's number only has to be new, and not 0"
_OUT_OF_REACH = "every wait has reached its cap long before"
_EMPTY_ALREADY = "an empty slot is emptied once more"
_SHORTCUT = "what follows says the same, later"
_NO_LEASE = "no lease is out, and no probe counted, in another state"
_BY_NUMBER = "a lease is found by its number, and no number comes twice"
_ONLY_OPEN_WAITS = "only OPEN has a wait that is not over"
_FORMER_WAIT = "a wait that is over stays over, and opening sets a new one"
EQUIVALENT = {
    # What is changed: why nothing can tell the difference.
    "machine.py: __init__: self._probe_successes = 0: statement goes away": _OVERWRITTEN,
    "machine.py: __init__: self._probe_successes = 0: 0 becomes 1": _OVERWRITTEN,
    "machine.py: __init__: self._probe_successes = 0: 0 becomes -1": _OVERWRITTEN,
    "machine.py: __init__: self._probe_failures = 0: statement goes away": _OVERWRITTEN,
    "machine.py: __init__: self._probe_failures = 0: 0 becomes 1": _OVERWRITTEN,
    "machine.py: __init__: self._probe_failures = 0: 0 becomes -1": _OVERWRITTEN,
    "machine.py: __init__: self._open_until_s = now_s: statement goes away": _OVERWRITTEN,
    "machine.py: __init__: self._next_probe = 1: 1 becomes 2": _OPAQUE,
    "machine.py: _acquire_probe: self._next_probe += 1: 1 becomes 2": _OPAQUE,
    "machine.py: rejects: self.state is _CLOSED: holds never": _SHORTCUT,
    "machine.py: rejects: state is State.OPEN and now_s < self._open_until_s: "
    "operand 1 goes away": _ONLY_OPEN_WAITS,
    "machine.py: rejects: state is State.HALF_OPEN and self._probes_are_taken(): "
    "operand 1 goes away": _NO_LEASE,
    "machine.py: release: permit.probe and permit.generation == self.generation: "
    "And becomes Or": _BY_NUMBER,
    "machine.py: release: permit.probe and permit.generation == self.generation: "
    "operand 1 goes away": _BY_NUMBER,
    "machine.py: release: permit.probe and permit.generation == self.generation: "
    "operand 2 goes away": _BY_NUMBER,
    "machine.py: release: permit.probe and permit.generation == self.generation: "
    "holds always": _BY_NUMBER,
    "machine.py: hasten: self.state is State.OPEN: holds always": _FORMER_WAIT,
    "machine.py: hasten: min(self._open_until_s, now_s): argument 2 alone": _FORMER_WAIT,
    "machine.py: expire: self.state is State.HALF_OPEN: holds always": _NO_LEASE,
    "machine.py: _record_probe: self.state is not State.HALF_OPEN or "
    "self._leases.pop(permit.probe, None) is None: operand 1 goes away": _NO_LEASE,
    "machine.py: _open: min(self._openings - 1, 64): 64 becomes 65": _OUT_OF_REACH,
    "machine.py: _open: min(self._openings - 1, 64): 64 becomes 63": _OUT_OF_REACH,
    "machine.py: _open: min(self._openings - 1, 64): argument 1 alone": _OUT_OF_REACH,
    "ring.py: _roll: max(newest + 1, number - self._size + 1): argument 1 alone": _EMPTY_ALREADY,
    "ring.py: _roll: number != newest: holds always": _SHORTCUT,
    "ring.py: _roll: number - self._size: Sub becomes Add": _EMPTY_ALREADY,
    "ring.py: _roll: number - self._size: left side alone": _EMPTY_ALREADY,
}


def the_walks() -> None:
    """What the breaker does beside its model; the same each time."""
    for after_quarters in (1, 23, 24, 25):
        for by_reset in (False, True):
            falls_again(Pair(Machine), after_quarters, by_reset=by_reset)
    for seed in range(_WALKS):
        walk(Pair(Machine), Random(seed), _STEPS)
    unwatched = Machine(CONFIG, 0.0, lambda: 0.0)
    for _ in range(65):
        unwatched.reset(0.0)
    assert len(unwatched.take_transitions()) == 64


@pytest.mark.parametrize("module", [machine, window], ids=["machine", "window"])
def test_every_mutant_is_noticed_by_the_model(module):
    assert survivors(module, the_walks, EQUIVALENT) == []
    assert len(mutants(module)) > 90, "the mutator finds little to change"


def test_every_mutant_of_the_ring_is_noticed():
    sketches = CaseRunner(test_sketch)

    def check() -> None:
        sketches()
        the_walks()

    assert survivors(ring, check, EQUIVALENT) == []
