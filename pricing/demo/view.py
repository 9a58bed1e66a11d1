"""What the demo shows while it runs: a table for a terminal, a line for everything else. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pricing.model import Source

MOST_ROWS: Final = 12
_ROWS_IN_LINE: Final = 3
_SOURCE_STYLES: Final = {
    Source.REDIS: "green",
    Source.DATABASE: "cyan",
    Source.STALE_CACHE: "yellow",
    Source.DEFAULT: "red",
}
_MODE_STYLES: Final = {"normal": "bold green", "degraded": "bold yellow", "emergency": "bold red"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRow:
    """One zone as its newest answer has it."""

    name: str
    demand: int
    supply: int
    multiplier: float
    price: str
    source: str
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One look at the running demo."""

    elapsed_s: float
    """Since the line that says ready."""
    city_time: str
    mode: str
    rows: Sequence[ZoneRow]
    surged: int
    """Zones above their base fare."""
    zones: int
    events_per_s: float
    prices_per_s: float
    by_source: Mapping[str, int]
    """Answers since the start."""
    oldest_s: float
    """Age of the oldest price among the newest answers."""
    unanswered: int
    accepted: int
    missing: int
    """Acknowledged events that have not been seen in their topic."""
    slowest_ms: float
    note: str = ""


def busiest(answers: Iterable[Mapping[str, Any]], at_most: int = MOST_ROWS) -> list[ZoneRow]:
    """The zones with most demand, then the dearer ones; none without demand and supply."""
    awake = [one for one in answers if one["data"]["demand_count"] or one["data"]["supply_count"]]
    ordered = sorted(
        awake,
        key=lambda answer: (
            -answer["data"]["demand_count"],
            -answer["data"]["surge_multiplier"],
            answer["data"]["zone_id"],
        ),
    )
    return [_row(answer) for answer in ordered[:at_most]]


def table(view: View) -> RenderableType:
    """The live table."""
    zones = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    zones.add_column("zone", no_wrap=True, min_width=24, max_width=34)
    for name in ("demand", "supply", "surge", "price"):
        zones.add_column(name, justify="right")
    zones.add_column("source")
    zones.add_column("age", justify="right")
    for row in view.rows:
        zones.add_row(
            row.name,
            str(row.demand),
            str(row.supply),
            Text(f"x{row.multiplier:.2f}", style="bold magenta" if row.multiplier > 1 else ""),
            row.price,
            Text(row.source, style=_SOURCE_STYLES.get(Source(row.source), "")),
            f"{row.age_s:.1f} s",
        )
    head = Text.assemble(
        ("mode ", "dim"),
        (view.mode, _MODE_STYLES.get(view.mode, "bold")),
        ("   city ", "dim"),
        view.city_time,
        ("   running ", "dim"),
        clock(view.elapsed_s),
    )
    return Group(head, zones, *(Text(line, style="dim") for line in _footer(view)))


def line(view: View) -> str:
    """One plain line."""
    top = ", ".join(
        f"{row.name} x{row.multiplier:.2f} {row.price} ({row.demand}/{row.supply})"
        for row in view.rows[:_ROWS_IN_LINE]
    )
    parts = (
        f"{clock(view.elapsed_s)} {view.mode}",
        f"{view.events_per_s:.0f} events/s",
        f"{view.prices_per_s:.0f} prices/s",
        sources(view.by_source),
        f"ages up to {view.oldest_s:.1f} s",
        f"surge in {view.surged} of {view.zones} zones",
        f"busiest: {top or 'none yet'}",
        *([view.note] if view.note else []),
    )
    return " | ".join(parts)


def sources(by_source: Mapping[str, int]) -> str:
    """How many answers came from where: every source, also those that gave none."""
    return " ".join(f"{source.value} {by_source.get(source.value, 0)}" for source in Source)


def clock(seconds: float) -> str:
    """`1:05` or `1:00:00`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _footer(view: View) -> list[str]:
    rates = f"{view.events_per_s:.0f} events/s in   {view.prices_per_s:.0f} prices/s out"
    answers = f"answers: {sources(view.by_source)}   unanswered {view.unanswered}"
    ages = f"ages up to {view.oldest_s:.1f} s"
    lines = [
        f"{rates}   surge in {view.surged} of {view.zones} zones",
        f"{answers}   slowest {view.slowest_ms:.0f} ms   {ages}",
        f"events: {view.accepted} acknowledged, {view.missing} of them not yet in Kafka",
    ]
    return [*lines, view.note] if view.note else lines


def _row(answer: Mapping[str, Any]) -> ZoneRow:
    data = answer["data"]
    return ZoneRow(
        name=data["zone_name"],
        demand=data["demand_count"],
        supply=data["supply_count"],
        multiplier=data["surge_multiplier"],
        price=f"{data['price']:.2f} {data['currency']}",
        source=answer["source"],
        age_s=answer["age_ms"] / 1000,
    )
