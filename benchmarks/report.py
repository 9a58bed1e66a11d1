"""Figures as a JSON file for machines and a page for people."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.benchmark import Benchmark, Figure

ROOT = Path(__file__).parents[1]
JSON = ROOT / "benchmarks" / "results" / "latest.json"
PAGE = ROOT / "docs" / "benchmarks.md"

INTRO = """<!-- Written by `make bench`: do not edit. -->

# Benchmarks

Each table compares ways of doing the same work with a bare baseline, in the same process and the
same run, in turn. **Read the ratios**: times depend on the machine and on what else it did. No test
gates on them. `make bench` measures anew and rewrites this page; `make bench ARGS=NAME` prints one
table and writes nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One benchmark's figures, the baseline first."""

    benchmark: Benchmark
    figures: list[Figure]


def machine() -> dict[str, str]:
    """What the figures depend on; names no host and no user."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def table(result: Result) -> str:
    """A Markdown section with one row a case."""
    head = f"## {result.benchmark.name}\n\n{result.benchmark.what}\n\n"
    unit = result.benchmark.unit
    if not result.figures[0].is_reading:
        unit = f"µs per {unit}"
    lines = [
        f"| case | {unit} (median) | least to most | ratio to the baseline |",
        "|---|---:|---:|---:|",
        *(_line(figure) for figure in result.figures),
    ]
    return head + "\n".join(lines) + "\n"


def _line(figure: Figure) -> str:
    spread = f"{_short(figure.least)} to {_short(figure.most)}"
    return f"| {figure.label} | {_short(figure.typical)} | {spread} | {figure.ratio:.2f} |"


def _short(figure: float) -> str:
    return f"{figure:.2f}" if figure < 10 else f"{figure:,.0f}"


def write(results: Iterable[Result], rounds: int) -> None:
    """Write both files; what they said before is replaced."""
    results = list(results)
    facts = machine()
    JSON.parent.mkdir(parents=True, exist_ok=True)
    JSON.write_text(json.dumps(_as_json(results, facts, rounds), indent=2) + "\n")
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    origin = f"Last run: {rounds} rounds on {told}.\n"
    PAGE.write_text("\n".join([INTRO, origin, *map(table, results)]))


def _as_json(results: list[Result], facts: dict[str, str], rounds: int) -> dict[str, object]:
    return {
        "machine": facts,
        "rounds": rounds,
        "benchmarks": [
            {
                "name": result.benchmark.name,
                "what": result.benchmark.what,
                "unit": result.benchmark.unit,
                "figures": [asdict(figure) for figure in result.figures],
            }
            for result in results
        ],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else "unknown"
