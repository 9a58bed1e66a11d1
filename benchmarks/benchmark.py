"""What a benchmark is, and how it is measured: cases in turn, against a bare baseline."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol


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


class Unavailable(Exception):
    """The benchmark cannot run on this machine; the message says what is missing."""


class Benchmark(Protocol):
    """A figure. A module `benchmarks/bench_*.py` offers one as `BENCHMARK`."""

    name: str
    what: str
    """One sentence: what is measured, and against what."""
    unit: str
    """What one operation is, e.g. `event`."""

    def cases(self) -> Sequence[Case]:
        """Set up and return the cases; the first is the bare baseline. Raises `Unavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """What became of one case."""

    label: str
    ns: float
    """Median time of one operation."""
    least_ns: float
    most_ns: float
    ratio: float
    """Median over rounds of this case's time over the baseline's in the same round."""


def measure(
    benchmark: Benchmark, rounds: int, now_ns: Callable[[], int] = time.perf_counter_ns
) -> list[Figure]:
    """Run every case once per round, in turn, so that a busy moment hits all of them alike.

    One round before the first is not counted. The collector rests while a case runs.
    """
    cases = benchmark.cases()
    timed: list[list[float]] = [[] for _ in cases]
    for counted in [False, *[True] * rounds]:
        for case, times in zip(cases, timed, strict=True):
            took = _time(case, now_ns)
            if counted:
                times.append(took)
    return [
        Figure(
            label=case.label,
            ns=median(times),
            least_ns=min(times),
            most_ns=max(times),
            ratio=median(own / bare for own, bare in zip(times, timed[0], strict=True)),
        )
        for case, times in zip(cases, timed, strict=True)
    ]


def _time(case: Case, now_ns: Callable[[], int]) -> float:
    now_ns = case.now_ns or now_ns
    gc.collect()
    gc.disable()
    try:
        start = now_ns()
        done = case.run()
        took = now_ns() - start
        operations = done if case.operations is None else case.operations
        assert isinstance(operations, int)
        return took / operations
    finally:
        gc.enable()
