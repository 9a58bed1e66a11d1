"""`equilibrium drill`: from a name to an exit code."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import typer

from pricing.drill.scenario import SCENARIOS, Promise, promises
from pricing.local.options import DemoOptions
from pricing.local.preconditions import check_port, packages_of_the
from pricing.wiring.settings import PREFIX

_DWELL = f"{PREFIX}MODE_DOWN_DWELL_S"


def run_drill(
    name: str, *, port: int, data_dir: Path | None, kafka: str, dwell_s: float | None
) -> int:
    """Carry a drill out; returns 0 if every promise was kept, else 1. Raises `StartupError`.

    `dwell_s`: None is the scenario's own.
    """
    check_port(port)
    with packages_of_the("drill"):
        from pricing.drill.run import Drill
    scenario = SCENARIOS[name]
    dwell_s = scenario.dwell_s if dwell_s is None else dwell_s
    os.environ[_DWELL] = f"{dwell_s:g}"  # for the processes that it starts
    options = DemoOptions(port=port, data_dir=data_dir, kafka=kafka)
    outcome = asyncio.run(Drill(scenario, options, dwell_s=dwell_s, say=typer.echo).run())
    found = promises(scenario, outcome, dwell_s=dwell_s)
    typer.echo(f"\ndrill {name}:")
    for promise in found:
        typer.echo(_verdict(promise))
    return 0 if all(promise.is_kept for promise in found) else 1


def _verdict(promise: Promise) -> str:
    return f"  {'kept  ' if promise.is_kept else 'BROKEN'}  {promise.text}: {promise.seen}"
