"""How commands print: tables for people, JSON for programs, one line for what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from pricing.errors import StateUnreadable, os_reason


def print_json(answer: Any) -> None:
    """Print one JSON document."""
    typer.echo(json.dumps(answer, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print columns as wide as their widest cell."""
    lines = [list(columns), *([_cell(cell) for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def complain(message: str) -> None:
    """Print one line to standard error, in the form of every failure."""
    typer.echo(f"equilibrium: {message}", err=True)


@contextmanager
def disk_errors_told() -> Iterator[None]:
    """Turn what the disk says into one line, `StateUnreadable`; also a decorator of a command."""
    try:
        yield
    except BrokenPipeError:  # nobody reads any more: no failure of the disk
        raise
    except OSError as error:
        path = error.filename or "the state directory"
        raise StateUnreadable(f"{path}: {os_reason(error)}") from error


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
