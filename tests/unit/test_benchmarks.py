"""The measuring itself: fair to its cases, and every benchmark can be found."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchmarks import backlog, bench_replay, bench_replay_lag, bench_spool_latency
from benchmarks.__main__ import discover, main
from benchmarks.benchmark import Case, Reading, measure


class _Clock:
    """Moves only when a case spends time on it."""

    def __init__(self):
        self.ns = 0
        self.log = []

    def spend(self, label, ns):
        self.ns += ns
        self.log.append(label)


def _two_cases(clock):
    cases = [
        Case(label="bare", run=lambda: clock.spend("bare", 1_000), operations=10),
        Case(label="ours", run=lambda: clock.spend("ours", 1_500), operations=5),
    ]
    return SimpleNamespace(name="n", what="w", unit="u", cases=lambda: cases)


def test_measure_divides_by_operations_and_relates_to_the_first_case():
    clock = _Clock()
    bare, ours = measure(_two_cases(clock), rounds=3, now_ns=lambda: clock.ns)
    assert (bare.typical, bare.ratio) == (0.1, 1)
    assert (ours.typical, round(ours.ratio, 9)) == (0.3, 3)


def test_measure_runs_the_cases_in_turn():
    clock = _Clock()
    measure(_two_cases(clock), rounds=2, now_ns=lambda: clock.ns)
    assert clock.log == ["bare", "ours"] * 3


def test_measure_prepares_every_round_and_does_not_time_it():
    clock = _Clock()
    benchmark = _two_cases(clock)
    cases = [
        replace(one, prepare=lambda: clock.spend("set up", 9_000)) for one in benchmark.cases()
    ]
    benchmark.cases = lambda: cases
    bare, _ = measure(benchmark, rounds=1, now_ns=lambda: clock.ns)
    assert clock.log == ["set up", "bare", "set up", "ours"] * 2
    assert bare.typical == 0.1


def test_reading_is_the_figure_itself_and_the_benchmark_is_closed():
    values, closed = iter([9.0, 2.0, 4.0, 3.0]), []
    reading = Reading(label="lag", run=lambda: next(values))
    benchmark = SimpleNamespace(
        cases=lambda: [reading], rounds=3, close=lambda: closed.append(True), name="n", what="w"
    )
    (figure,) = measure(benchmark, rounds=25)
    assert (figure.typical, figure.least, figure.most) == (3, 2, 4)
    assert figure.is_reading
    assert closed == [True]


SMALL = (
    (backlog, "EVENTS", 20_000),
    (bench_replay, "_EVENTS", 6_000),
    (bench_replay_lag, "_SECONDS", 0.1),
    (bench_spool_latency, "_APPENDS", 200),
    (bench_spool_latency, "_SYNCS", 50),
)
"""Enough to see that a benchmark runs; its figures mean nothing then."""
LONG = {"http"}
"""Six servers, with a second of load for each, twice."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.soak] if name in LONG else []) for name in discover()],
)
def test_benchmark_runs_one_round_and_prints_its_table(name, capsys, monkeypatch):
    for module, figure, value in SMALL:
        monkeypatch.setattr(module, figure, value)
    monkeypatch.setenv("BENCHMARK_REPLAY_S", "0.2")
    assert main([name, "--rounds", "1"]) == 0
    assert f"## {name}" in capsys.readouterr().out


def test_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["no-such"])
    assert "no-such" in capsys.readouterr().err
