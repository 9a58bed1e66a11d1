"""`equilibrium dlq …`: the dead letters of this machine, with or without the service."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from fallback.clock import wall_s
from fallback.pump.dead_letters import DeadLetterBox, Letter
from pricing.cli.output import complain, disk_errors_told, print_json, print_table, state_directory

dlq_app = typer.Typer(
    help="The dead letters: events that Kafka refused for what they hold.",
    rich_markup_mode=None,
)

_DAY_MS = 86_400_000
_NOTED = 100

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ErrorClass = Annotated[str | None, typer.Option("--class", help="Only this error class.")]
Ids = Annotated[list[str] | None, typer.Argument(help="Ids, as `dlq ls` shows them.")]
All = Annotated[bool, typer.Option("--all", help="Every one.")]


@dlq_app.command("ls", epilog="Example: equilibrium dlq ls --class 10")
@disk_errors_told()
def list_letters(
    *,
    error_class: ErrorClass = None,
    limit: Annotated[int, typer.Option(help="At most so many, the oldest first.", min=1)] = 100,
    as_json: Json = False,
) -> int:
    """List the dead letters."""
    box = _box()
    letters = [one for one in box.letters() if error_class in (None, one.error_class)]
    rows = [_summary(letter) for letter in letters[:limit]]
    for identity in (unreadable := box.unreadable()):
        complain(_why_not(identity, unreadable))
    if as_json:
        waiting = box.stats().waiting_for_retry
        totals = {"total": len(letters), "waiting_for_retry": waiting, "unreadable": unreadable}
        print_json({"data": rows, **totals})
    elif rows:
        print_table(tuple(rows[0]), [list(row.values()) for row in rows])
    else:
        typer.echo("no dead letters")
    return 0


@dlq_app.command(epilog="Example: equilibrium dlq show 1f2e3d4c5b6a7980")
@disk_errors_told()
def show(identity: Annotated[str, typer.Argument(metavar="ID")], *, as_json: Json = False) -> int:
    """Show one dead letter, with what it holds."""
    box = _box()
    letter = _found(box, identity)
    if letter is None:
        complain(_why_not(identity, box.unreadable()))
        return 1
    from pricing.cli.spool_report import describe

    fields = {**_summary(letter), **describe(letter.lane.encode(), letter.body)}
    if as_json:
        print_json({"data": fields})
    else:
        for name, value in fields.items():
            typer.echo(f"{name}: {value}")
    return 0


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
    box = _box()
    chosen = _chosen(box, ids, everything=everything, error_class=error_class)
    done = {identity: box.ask_retry(identity) for identity in chosen}
    _note("dlq.retry", done)
    return _report("marked to be put back", done, box, as_json=as_json)


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
    box = _box()
    chosen = _chosen(box, ids, everything=everything, error_class=error_class)
    horizon_ms = _now_ms() - older_than_days * _DAY_MS
    if older_than_days:
        old = {letter.id for letter in box.letters() if letter.buried_ms <= horizon_ms}
        chosen = [identity for identity in chosen if identity in old]
    done = {identity: box.discard(identity) for identity in chosen}
    _note("dlq.discard", done)
    return _report("discarded", done, box, as_json=as_json)


def _summary(letter: Letter) -> dict[str, Any]:
    from pricing.writing.dead_letters import STRATEGIES
    from streaming.events.event_types import rfc3339

    strategy = STRATEGIES.get(letter.error_class)
    return {
        "id": letter.id,
        "lane": letter.lane,
        "seq": letter.seq,
        "error_class": letter.error_class,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "retries": letter.retries,
        "appended_at": rfc3339(letter.appended_ms),
        "buried_at": rfc3339(letter.buried_ms),
        "next": "retry" if strategy and letter.retries < strategy.max_retries else "a person",
    }


def _found(box: DeadLetterBox, identity: str) -> Letter | None:
    try:
        return box.get(identity)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _chosen(
    box: DeadLetterBox, ids: list[str] | None, *, everything: bool, error_class: str | None
) -> list[str]:
    if ids and not (everything or error_class is not None):
        for identity in ids:
            _found(box, identity)
        return ids
    if ids or not (everything or error_class is not None):
        raise typer.BadParameter("give ids, or --all, or --class")
    return [one.id for one in box.letters() if error_class in (None, one.error_class)]


def _note(action: str, done: dict[str, bool]) -> None:
    """Note one act, however many letters it was about; the first of them by their ids."""
    from pricing.cli.command_audit import note_local_act
    from pricing.wiring.settings import load_settings

    ids = [identity for identity, is_done in done.items() if is_done]
    if ids:
        target = ids[0] if len(ids) == 1 else "dead letters"
        note_local_act(
            load_settings(), action, target, after={"count": len(ids), "ids": ids[:_NOTED]}
        )


def _report(what: str, done: dict[str, bool], box: DeadLetterBox, *, as_json: bool) -> int:
    missing = [identity for identity, is_done in done.items() if not is_done]
    if as_json:
        print_json({"done": len(done) - len(missing), "missing": missing})
    else:
        typer.echo(f"{len(done) - len(missing)} {what}")
        unreadable = box.unreadable()
        for identity in missing:
            complain(_why_not(identity, unreadable))
    return 1 if missing else 0


def _why_not(identity: str, unreadable: list[str]) -> str:
    if identity in unreadable:
        return f"dead letter {identity} cannot be read; it can only be discarded"
    return f"no dead letter {identity}"


def _box() -> DeadLetterBox:
    from pricing.wiring.writing import DEAD_LETTERS

    return DeadLetterBox(state_directory() / DEAD_LETTERS, now_ms=_now_ms)


def _now_ms() -> int:
    return int(wall_s() * 1000)
