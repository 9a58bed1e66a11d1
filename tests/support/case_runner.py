"""Runs the test functions of modules in this process, without fixtures: for mutation tests."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType

Case = Callable[[], object]


class CaseRunner:
    """Every test of some modules, each with each of its parameters.

    Begins with the case that failed last, then the quickest: most mutants are noticed by a few.
    Making one runs all cases once.
    """

    def __init__(self, *modules: ModuleType) -> None:
        every = (case for module in modules for case in _cases(module))
        self._cases = sorted(every, key=_took_s)

    def __call__(self) -> None:
        """Run them until one raises."""
        for number, case in enumerate(self._cases):
            try:
                case()
            except BaseException:
                self._cases.insert(0, self._cases.pop(number))
                raise


def _cases(module: ModuleType) -> Iterator[Case]:
    for name, function in vars(module).items():
        if name.startswith("test_"):
            yield from _with_parameters(function, list(getattr(function, "pytestmark", [])))


def _with_parameters(function: Callable[..., object], marks: list) -> Iterator[Case]:
    if not marks:
        yield function
        return
    mark, *others = marks
    names, values = mark.args
    names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    for value in values:
        arguments = dict(zip(names, value if len(names) > 1 else (value,), strict=True))
        yield from _with_parameters(partial(function, **arguments), others)


def _took_s(case: Case) -> float:
    began_s = time.process_time()
    case()
    return time.process_time() - began_s
