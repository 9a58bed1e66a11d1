"""What the demo says at its end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pricing.demo.view import clock
from pricing.model import Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The demo in figures, from the line that says ready to the end."""

    elapsed_s: float
    events_in: int
    """Acknowledged by the service."""
    withdrawn: int
    """Given up by their sender before the service had acknowledged them."""
    refused: int
    prices_out: int
    by_source: Mapping[str, int]
    unanswered: int
    kept: int
    """Acknowledged, and on the service's disk at the end: Kafka gets them at the next start."""
    lost: int
    """Acknowledged, but neither seen in their topic nor kept."""
    unchecked: int
    """Acknowledged, but beyond what could be kept in mind to be looked for."""
    slowest_ms: float


def summary_lines(summary: Summary) -> list[str]:
    """One figure a line, `name: value`."""
    answers = ", ".join(
        f"{source.value} {summary.by_source.get(source.value, 0)}" for source in Source
    )
    lines = [
        f"summary after {clock(summary.elapsed_s)}",
        f"events in: {summary.events_in}",
        f"prices out: {summary.prices_out}",
        f"answers by source: {answers}",
        f"unanswered: {summary.unanswered}",
        f"lost: {summary.lost}",
        f"slowest answer: {summary.slowest_ms:.0f} ms",
    ]
    extra = {
        "not acknowledged, given up by their sender": summary.withdrawn,
        "refused": summary.refused,
        "kept on disk for Kafka": summary.kept,
        "acknowledged, but not looked for in Kafka": summary.unchecked,
    }
    return lines + [f"events {name}: {count}" for name, count in extra.items() if count]
