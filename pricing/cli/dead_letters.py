"""`equilibrium dlq …`: the dead letters of this machine, with or without the service."""

from __future__ import annotations

from typing import Annotated

import typer

from pricing.cli.output import disk_errors_told
from pricing.cli.settings import with_settings

dlq_app = typer.Typer(
    help="The dead letters: events that Kafka refused for what they hold.",
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ErrorClass = Annotated[str | None, typer.Option("--class", help="Only this error class.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids, as `dlq ls` shows them.")]
All = Annotated[bool, typer.Option("--all", help="Every one.")]


@dlq_app.command(epilog="Example: equilibrium dlq ls --class 10")
@disk_errors_told()
def ls(
    *,
    error_class: ErrorClass = None,
    limit: Annotated[int, typer.Option(help="At most so many, the oldest first.", min=1)] = 100,
    as_json: Json = False,
) -> int:
    """List the dead letters."""
    from pricing.cli.dead_letter_report import list_letters

    return with_settings(list_letters, error_class=error_class, limit=limit, as_json=as_json)


@dlq_app.command(epilog="Example: equilibrium dlq show 1f2e3d4c5b6a7980")
@disk_errors_told()
def show(identity: Annotated[str, typer.Argument(metavar="ID")], *, as_json: Json = False) -> int:
    """Show one dead letter, with what it holds."""
    from pricing.cli.dead_letter_report import show_letter

    return with_settings(show_letter, identity, as_json=as_json)


@dlq_app.command(epilog="Example: equilibrium dlq retry --class -1")
@disk_errors_told()
def retry(
    ids: Ids = None,
    *,
    everything: All = False,
    error_class: ErrorClass = None,
    as_json: Json = False,
) -> int:
    """Put dead letters back, under their own ids: at once, or when the service next starts."""
    from pricing.cli.dead_letter_report import Choice, retry_letters

    choice = Choice(ids=ids, everything=everything, error_class=error_class)
    return with_settings(retry_letters, choice, as_json=as_json)


@dlq_app.command(epilog="Example: equilibrium dlq discard --all --older-than-days 30")
@disk_errors_told()
def discard(
    ids: Ids = None,
    *,
    everything: All = False,
    error_class: ErrorClass = None,
    older_than_days: Annotated[
        float, typer.Option(help="Only those that lie there for longer.", min=0)
    ] = 0,
    as_json: Json = False,
) -> int:
    """Throw dead letters away, for good."""
    from pricing.cli.dead_letter_report import Choice, discard_letters

    choice = Choice(
        ids=ids,
        everything=everything,
        error_class=error_class,
        older_than_days=older_than_days,
    )
    return with_settings(discard_letters, choice, as_json=as_json)
