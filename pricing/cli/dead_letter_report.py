"""What `equilibrium dlq …` does: lists, shows, puts back and discards dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import typer

from fallback.pump.dead_letters import DeadLetterBox, Letter
from pricing.cli.command_audit import audit_command
from pricing.cli.output import complain, print_json, print_table
from pricing.cli.settings import state_directory
from pricing.cli.spool_report import describe
from pricing.clocks import now_ms
from pricing.wiring.settings import Settings
from pricing.wiring.writing import DEAD_LETTERS
from pricing.writing.dead_letters import STRATEGIES, dead_letter_json

_DAY_MS = 86_400_000
_MOST_IDS_AUDITED = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which dead letters: those of `ids`, or of a class, or all. One of the three must be given."""

    ids: Sequence[str] | None
    everything: bool
    error_class: str | None
    older_than_days: float = 0
    """0: however old they are."""

    def of(self, box: DeadLetterBox) -> list[str]:
        """Their ids. Raises `typer.BadParameter` where nothing is chosen, or an id is malformed."""
        by_kind = self.everything or self.error_class is not None
        if bool(self.ids) == by_kind:
            raise typer.BadParameter("give ids, or --all, or --class")
        for identity in self.ids or ():
            _found(box, identity)
        chosen = self.ids or [letter.id for letter in _of_class(box, self.error_class)]
        if not self.older_than_days:
            return list(chosen)
        horizon_ms = now_ms() - self.older_than_days * _DAY_MS
        old = {letter.id for letter in box.letters() if letter.buried_ms <= horizon_ms}
        return [identity for identity in chosen if identity in old]


def list_letters(settings: Settings, *, error_class: str | None, limit: int, as_json: bool) -> int:
    """Print at most `limit` dead letters, the oldest first, and name those that cannot be read."""
    box = _box(settings)
    letters = _of_class(box, error_class)
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


def show_letter(settings: Settings, identity: str, *, as_json: bool) -> int:
    """Print one dead letter with what it holds; returns 1 where there is none that can be read."""
    box = _box(settings)
    letter = _found(box, identity)
    if letter is None:
        complain(_why_not(identity, box.unreadable()))
        return 1
    fields = {**_summary(letter), **describe(letter.lane.encode(), letter.body)}
    if as_json:
        print_json({"data": fields})
    else:
        for name, value in fields.items():
            typer.echo(f"{name}: {value}")
    return 0


def retry_letters(settings: Settings, choice: Choice, *, as_json: bool) -> int:
    """Mark dead letters to be put back; returns 1 where one of them was not there."""
    box = _box(settings)
    done = {identity: box.ask_retry(identity) for identity in choice.of(box)}
    _audit(settings, "dlq.retry", done)
    return _report("marked to be put back", done, box, as_json=as_json)


def discard_letters(settings: Settings, choice: Choice, *, as_json: bool) -> int:
    """Remove dead letters; returns 1 where one of them was not there."""
    box = _box(settings)
    done = {identity: box.discard(identity) for identity in choice.of(box)}
    _audit(settings, "dlq.discard", done)
    return _report("discarded", done, box, as_json=as_json)


def _summary(letter: Letter) -> dict[str, Any]:
    fields = dead_letter_json(letter)
    del fields["bytes"]  # a table for people has no room for it
    strategy = STRATEGIES.get(letter.error_class)
    is_retried = strategy is not None and letter.retries < strategy.max_retries
    return {**fields, "next": "retry" if is_retried else "a person"}


def _of_class(box: DeadLetterBox, error_class: str | None) -> list[Letter]:
    return [letter for letter in box.letters() if error_class in (None, letter.error_class)]


def _found(box: DeadLetterBox, identity: str) -> Letter | None:
    try:
        return box.get(identity)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _audit(settings: Settings, action: str, done: dict[str, bool]) -> None:
    """Audit one act, however many letters it was about; the first of them by their ids."""
    ids = [identity for identity, is_done in done.items() if is_done]
    if ids:
        target = ids[0] if len(ids) == 1 else "dead letters"
        after = {"count": len(ids), "ids": ids[:_MOST_IDS_AUDITED]}
        audit_command(settings, action, target, after=after)


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


def _box(settings: Settings) -> DeadLetterBox:
    return DeadLetterBox(state_directory(settings) / DEAD_LETTERS, now_ms=now_ms)
