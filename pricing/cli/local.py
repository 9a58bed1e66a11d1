"""`equilibrium demo`, `drill` and `stack`: what starts servers on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Port = Annotated[int, typer.Option(help="Port of the HTTP API.", min=1, max=65535)]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the servers keep their data.")
]
Kafka = Annotated[
    str, typer.Option("--kafka", help="tansu (from a wheel, memory only) or apache (Java, Maven).")
]
Trips = Annotated[
    Path | None, typer.Option(help="Replay this file of trips instead of the living city.")
]
Speed = Annotated[float, typer.Option(help="How much faster the day goes.")]
Scale = Annotated[float, typer.Option(help="Requests a second; with --trips, copies of each trip.")]
Seed = Annotated[int, typer.Option(help="The same seed gives the same city.")]
Day = Annotated[str | None, typer.Option(help="With --trips: the day to start on (YYYY-MM-DD).")]
At = Annotated[
    str | None,
    typer.Option(
        help="The city's time of day at the start (HH:MM), or now. "
        "By default the evening rush; with --trips now."
    ),
]
Duration = Annotated[float | None, typer.Option(help="End after so many seconds, with a summary.")]
Faults = Annotated[
    list[str] | None, typer.Option(help="redis|database|kafka@SECONDS: kill that server then.")
]
Dwell = Annotated[
    float | None,
    typer.Option(
        help="MODE_DOWN_DWELL_S of the drilled service; 10 by default, 30 for flap.",
        min=1,
        max=600,
    ),
]


def demo(  # noqa: PLR0917 - the options of a command, always given by name
    port: Port = 8000,
    data_dir: DataDir = None,
    kafka: Kafka = "tansu",
    trips: Trips = None,
    speed: Speed = 1.0,
    scale: Scale = 1.0,
    seed: Seed = 1,
    day: Day = None,
    at: At = None,
    duration: Duration = None,
    fault: Faults = None,
) -> int:
    """Start everything on this machine and watch a city's prices move."""
    from pricing.demo import DemoOptions, run_demo

    try:
        options = DemoOptions(
            port=port,
            data_dir=data_dir,
            kafka=kafka,
            trips=trips,
            speed=speed,
            scale=scale,
            seed=seed,
            day=day,
            at=at,
            duration_s=duration,
            faults=tuple(fault or ()),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return run_demo(options)


def stack(
    command: Annotated[list[str] | None, typer.Argument(help="Run this with the servers up.")] = (
        None
    ),
    data_dir: DataDir = None,
    kafka: Kafka = "tansu",
) -> int:
    """Start PostgreSQL, Valkey and Kafka; print their settings, or run a command with them."""
    from pricing.embedded import run_stack

    _check_kafka(kafka)
    return run_stack(command or [], data_dir=data_dir, kafka=kafka)


def drill(
    name: Annotated[str, typer.Argument(help="redis, database, kafka, all or flap.")],
    port: Port = 8000,
    data_dir: DataDir = None,
    kafka: Kafka = "tansu",
    dwell: Dwell = None,
) -> int:
    """Break the embedded servers on purpose, under load. Exit code 1: a promise was broken."""
    from pricing.drill import SCENARIOS, run_drill

    if name not in SCENARIOS:
        raise typer.BadParameter(f"{name}: use {', '.join(SCENARIOS)}")
    _check_kafka(kafka)
    return run_drill(name, port=port, data_dir=data_dir, kafka=kafka, dwell_s=dwell)


def _check_kafka(kafka: str) -> None:
    if kafka not in ("tansu", "apache"):
        raise typer.BadParameter(f"--kafka {kafka}: use tansu or apache")
