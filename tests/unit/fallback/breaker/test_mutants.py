"""Changes the breaker's pure files in every listed way: the model must notice each change."""

from __future__ import annotations

import ast
import functools
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from fallback.breaker import machine, window
from tests.support.breaker_model import Pair, falls_again, walk
from tests.support.mutation import Mutant, mutants

_WALKS, _STEPS = 120, 80
_LOOPS_AFTER_S = 5

_OVERWRITTEN = "set again before it is read"
_OPAQUE = "a probe's number only has to be new, and not 0"
_OUT_OF_REACH = "every wait has reached its cap long before"
_EMPTY_ALREADY = "an empty bucket is emptied once more"
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
    "machine.py: release: permit.probe and permit.generation == self.generation: "
    "And becomes Or": "a lease is found by its number, and no number comes twice",
    "machine.py: _open: min(self._openings - 1, 64): 64 becomes 65": _OUT_OF_REACH,
    "machine.py: _open: min(self._openings - 1, 64): 64 becomes 63": _OUT_OF_REACH,
    "window.py: _roll: number - size + 1: Add becomes Sub": _EMPTY_ALREADY,
    "window.py: _roll: number - size + 1: 1 becomes 0": _EMPTY_ALREADY,
}


class Loops(Exception):
    """A mutant that runs for ever is noticed too."""


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def stop(*_):
        raise Loops

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)  # of this process's own time
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def is_noticed(load: Callable[[], ModuleType]) -> bool:
    """Whether the model sees a difference; the walks are the same ones each time."""
    try:
        with no_longer_than(_LOOPS_AFTER_S):
            loaded = load()
            for after_quarters in (1, 23, 24, 25):
                for by_reset in (False, True):
                    pair = Pair(loaded.Machine)
                    falls_again(pair, after_quarters, by_reset=by_reset)
            for seed in range(_WALKS):
                walk(Pair(loaded.Machine), Random(seed), _STEPS)
    except Exception:  # noqa: BLE001 - whatever goes wrong, it was noticed
        return True
    return False


@functools.cache
def mutants_of(module: ModuleType) -> list[Mutant]:
    path = Path(module.__file__)
    return list(mutants(path.read_text(), path.name))


def load_with_window(mutant: Mutant) -> ModuleType:
    """The machine as it is, over a changed window."""
    changed = mutant.load()
    tree = ast.parse(Path(machine.__file__).read_text())
    return Mutant("machine", tree).load(SlidingWindow=changed.SlidingWindow, Counts=changed.Counts)


def test_the_walks_pass_the_machine_as_it_is():
    assert not is_noticed(lambda: machine)


@pytest.mark.parametrize(
    ("module", "load"),
    [(machine, Mutant.load), (window, load_with_window)],
    ids=["machine", "window"],
)
def test_every_listed_mutant_is_noticed(module, load):
    every = mutants_of(module)
    survivors = [
        mutant.name
        for mutant in every
        if mutant.name not in EQUIVALENT and not is_noticed(lambda mutant=mutant: load(mutant))
    ]
    assert survivors == []
    assert len(every) > 90, "the mutator finds little to change"


def test_equivalent_mutants_are_still_among_the_listed():
    listed = {mutant.name for module in (machine, window) for mutant in mutants_of(module)}
    assert EQUIVALENT.keys() <= listed
