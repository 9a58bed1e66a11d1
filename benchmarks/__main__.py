"""`python -m benchmarks [NAME…]`: runs the benchmarks; a run of all of them writes the results."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from benchmarks.benchmark import Benchmark, Unavailable, measure
from benchmarks.report import PAGE, Result, table, write


def discover() -> dict[str, Benchmark]:
    """Every benchmark beside this file, by name."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    found = [importlib.import_module(f"benchmarks.{module}").BENCHMARK for module in modules]
    return {benchmark.name: benchmark for benchmark in found}


def main(arguments: list[str]) -> int:
    benchmarks = discover()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benchmarks))
    parser.add_argument("--rounds", type=int, default=25, help="rounds that count (default 25)")
    asked = parser.parse_args(arguments)
    unknown = sorted(set(asked.names) - benchmarks.keys())
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(benchmarks)}")
    results = []
    for name in asked.names or benchmarks:
        try:
            figures = measure(benchmarks[name], asked.rounds)
        except Unavailable as reason:
            print(f"## {name}: left out, {reason}\n")
            continue
        results.append(Result(benchmark=benchmarks[name], figures=figures))
        print(table(results[-1]), flush=True)
    if not asked.names:
        write(results, asked.rounds)
        print(f"written to {PAGE.name} and results/latest.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
