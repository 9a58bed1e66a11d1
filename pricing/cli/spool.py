"""`equilibrium spool …`: the spools of this machine, with or without the service."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Annotated, Any

import typer

from pricing.cli.output import disk_errors_told, print_json, print_table
from pricing.cli.settings import with_settings

spool_app = typer.Typer(
    help="The spools: events on this machine's disk on their way to Kafka.",
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str | None, typer.Option("--spool", help="Only this one, by its name.")]

_NONE = "no spools"
_COLUMNS = ("spool", "held", "segments", "bytes", "records", "pending", "oldest", "damaged", "lost")


@spool_app.command("ls", epilog="Example: equilibrium spool ls --json")
@disk_errors_told()
def list_spools(*, name: Name = None, as_json: Json = False) -> int:
    """List the spools: whether a process holds them, and what waits in them."""
    from pricing.cli.spool_report import contents, directories

    found = [contents(directory).summary() for directory in with_settings(directories, name)]
    if as_json:
        print_json({"data": found})
        return 0
    if not found:
        typer.echo(_NONE)
        return 0
    print_table(_COLUMNS, [[one[column] for column in _COLUMNS] for one in found])
    for one in found:
        for lane, pending in one["lanes"].items():
            typer.echo(f"  {one['spool']}  {lane}  {pending} pending")
    return 0


@spool_app.command(epilog="Example: equilibrium spool check")
@disk_errors_told()
def check(*, name: Name = None, as_json: Json = False) -> int:
    """Read every record and its checksum; exit code 1 where something is damaged."""
    from pricing.cli.spool_report import damage, directories

    found = with_settings(directories, name)
    rows = damage(found)
    is_damaged = any(not row["torn_tail"] for row in rows)
    if as_json:
        print_json({"damaged": is_damaged, "data": rows})
    elif rows:
        print_table(tuple(rows[0]), [list(row.values()) for row in rows])
    else:
        typer.echo("no damage" if found else _NONE)
    return 1 if is_damaged else 0


@spool_app.command(epilog="Example: equilibrium spool export --json > events.jsonl")
@disk_errors_told()
def export(
    *,
    name: Name = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also what is delivered and still on the disk.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Print the events that wait, one a line."""
    from pricing.cli.spool_report import directories, records

    for directory in with_settings(directories, name):
        for fields in records(directory, everything=everything):
            sys.stdout.write((json.dumps(fields) if as_json else _line(fields)) + "\n")
    return 0


@spool_app.command(epilog="Example: equilibrium spool replay --timeout 60")
@disk_errors_told()
def replay(
    *,
    name: Name = None,
    timeout: Annotated[float, typer.Option(help="Seconds; what is left then stays.", min=1)] = 60,
    as_json: Json = False,
) -> int:
    """Send what waits to Kafka now: of the spools that no process holds."""
    from pricing.cli.spool_report import directories
    from pricing.cli.spool_report import replay as work

    found = with_settings(directories, name)
    _be_quiet()
    return _report(asyncio.run(with_settings(work, found, timeout)), as_json)


@spool_app.command(epilog="Example: equilibrium spool repair")
@disk_errors_told()
def repair(*, name: Name = None, as_json: Json = False) -> int:
    """Cut torn tails and set damaged bytes aside: of the spools that no process holds."""
    from pricing.cli.spool_report import directories
    from pricing.cli.spool_report import repair as work

    found = with_settings(directories, name)
    _be_quiet()
    return _report(asyncio.run(work(found)), as_json)


def _be_quiet() -> None:
    """What the parts log at work: the rows say it at the end."""
    from pricing.logs import configure_logs

    configure_logs("CRITICAL", "console")


def _report(rows: list[dict[str, Any]], as_json: bool) -> int:
    if as_json:
        print_json({"data": rows})
    elif rows:
        for row in rows:
            typer.echo("  ".join(f"{key}={value}" for key, value in row.items()))
    else:
        typer.echo(_NONE)
    return 0 if all(row["done"] for row in rows) else 1


def _line(fields: dict[str, Any]) -> str:
    shown = json.dumps(fields.get("value", fields.get("bytes")))
    return f"{fields['spool']}/{fields['seq']}  {fields['appended_at']}  {fields['lane']}  {shown}"
