"""What a benchmark is, and how it is measured: cases in turn, against a bare baseline."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One way of doing the work."""

    label: str
    run: Callable[[], object]
    """One round of it."""
    operations: int | None
    """Operations in one round, so that cases of different size compare; None: `run` returns it."""
    now_ns: Callable[[], int] | None = None
    """What times it, where that is not the time that passes here: a server's processor time."""
    prepare: Callable[[], object] = _nothing
    """Done before each round, and not part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A case that is not timed: it returns the figure itself, in the benchmark's unit.

    The collector works as ever meanwhile.
    """

    label: str
    run: Callable[[], float]
    prepare: Callable[[], object] = _nothing


class Unavailable(Exception):
    """The benchmark cannot run on this machine; the message says what is missing."""


class Benchmark(Protocol):
    """A figure. A module `benchmarks/bench_*.py` offers one as `BENCHMARK`.

    It may have `rounds`, the most that it needs, and `close()`, called after the last one.
    """

    name: str
    what: str
    """One sentence: what is measured, and against what."""
    unit: str
    """What one operation is, e.g. `event`; what a reading is, e.g. `ms`."""

    def cases(self) -> Sequence[Case | Reading]:
        """Set up and return the cases; the first is the bare baseline. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What became of one case."""

    label: str
    typical: float
    """The median: time of one operation in µs, or a reading."""
    least: float
    most: float
    ratio: float
    """Median over rounds of this case's figure over the baseline's in the same round."""
    is_reading: bool = False


def measure(
    benchmark: Benchmark, rounds: int, now_ns: Callable[[], int] = time.perf_counter_ns
) -> list[Figure]:
    """Run every case once per round, in turn, so that a busy moment hits all of them alike.

    One round before the first is not counted. The collector rests while a case runs.
    """
    cases = benchmark.cases()
    rounds = min(rounds, getattr(benchmark, "rounds", rounds))
    found: list[list[float]] = [[] for _ in cases]
    try:
        for counted in [False, *[True] * rounds]:
            for case, figures in zip(cases, found, strict=True):
                figure = _measure(case, now_ns)
                if counted:
                    figures.append(figure)
    finally:
        getattr(benchmark, "close", _nothing)()
    return [
        Figure(
            label=case.label,
            typical=median(figures),
            least=min(figures),
            most=max(figures),
            ratio=median(own / bare for own, bare in zip(figures, found[0], strict=True)),
            is_reading=isinstance(case, Reading),
        )
        for case, figures in zip(cases, found, strict=True)
    ]


def _measure(case: Case | Reading, now_ns: Callable[[], int]) -> float:
    case.prepare()
    gc.collect()
    if isinstance(case, Reading):
        return case.run()
    now_ns = case.now_ns or now_ns
    gc.disable()
    try:
        start = now_ns()
        done = case.run()
        took = now_ns() - start
        operations = done if case.operations is None else case.operations
        assert isinstance(operations, int)
        return took / operations / 1_000
    finally:
        gc.enable()
