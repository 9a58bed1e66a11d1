"""What `equilibrium keys …` does: changes the file of keys, and notes that in the audit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import typer

from fallback.clock import Wall, wall_s
from pricing.access.keys import Key, KeyFile
from pricing.access.role import Role
from pricing.cli.command_audit import audit_command
from pricing.wiring.settings import Settings
from streaming.events.event_types import rfc3339

_DAY_S = 86_400


def create_key(
    settings: Settings,
    *,
    role: str,
    name: str,
    expires_in_days: float | None,
    now_s: Wall = wall_s,
) -> int:
    """Make a key, print it and note that in the audit.

    Raises `KeysError`, and `typer.BadParameter` for a wrong role.
    """
    if role not in list(Role):
        raise typer.BadParameter(f"--role {role}: use {', '.join(Role)}")
    now = int(now_s())
    expires_at_s = None if expires_in_days is None else now + int(expires_in_days * _DAY_S)
    file = KeyFile(settings.keys_path)
    key, text = file.create(name=name, role=Role(role), now_s=now, expires_at_s=expires_at_s)
    typer.echo(text)  # first: whatever becomes of the audit, the key exists and is shown once
    audit_command(settings, "keys.create", key.key_id, after=_facts(key))
    return 0


def list_keys(settings: Settings, now_s: Wall = wall_s) -> int:
    """Print a line for each key. Raises `KeysError`."""
    now = now_s()
    for key in KeyFile(settings.keys_path).load().keys.values():
        created = datetime.fromtimestamp(key.created_at_s, UTC).strftime("%Y-%m-%d")
        typer.echo(f"{key.key_id}  {key.role:<8}  {created}  {_state(key, now):<8}  {key.name}")
    return 0


def revoke_key(settings: Settings, key_id: str, now_s: Wall = wall_s) -> int:
    """Revoke a key, say so and note it in the audit. Raises `KeysError`."""
    file = KeyFile(settings.keys_path)
    # Before, for the audit; `revoke` itself says what is wrong with an id.
    before = file.load().keys.get(key_id)
    key = file.revoke(key_id, int(now_s()))
    typer.echo(f"revoked {key.key_id} ({key.role}, {key.name})")
    known = None if before is None else _facts(before)
    audit_command(settings, "keys.revoke", key.key_id, before=known, after=_facts(key))
    return 0


def _facts(key: Key) -> dict[str, Any]:
    """What the audit keeps of a key: nothing that opens anything."""
    return {
        "role": key.role.value,
        "name": key.name,
        "expires_at": _moment(key.expires_at_s),
        "revoked_at": _moment(key.revoked_at_s),
    }


def _moment(at_s: int | None) -> str | None:
    return None if at_s is None else rfc3339(1000 * at_s)


def _state(key: Key, now_s: float) -> str:
    if key.revoked_at_s is not None:
        return "revoked"
    return "expired" if key.is_expired(now_s) else "good"
