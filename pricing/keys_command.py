"""`equilibrium keys`: API keys on the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import typer

from fallback.clock import Wall, wall_s
from pricing.keys import Key, KeyFile, Role

_DAY_S = 86_400


def create_key(
    path: Path, *, role: str, name: str, expires_in_days: float | None, now_s: Wall = wall_s
) -> int:
    """Make a key and print it. Raises `KeysError`, and `typer.BadParameter` for a wrong role."""
    if role not in list(Role):
        raise typer.BadParameter(f"--role {role}: use {', '.join(Role)}")
    now = int(now_s())
    expires_at_s = None if expires_in_days is None else now + int(expires_in_days * _DAY_S)
    _, text = KeyFile(path).create(name=name, role=Role(role), now_s=now, expires_at_s=expires_at_s)
    typer.echo(text)
    return 0


def list_keys(path: Path, now_s: Wall = wall_s) -> int:
    """Print a line for each key. Raises `KeysError`."""
    now = now_s()
    for key in KeyFile(path).load().keys.values():
        created = datetime.fromtimestamp(key.created_at_s, UTC).strftime("%Y-%m-%d")
        typer.echo(f"{key.key_id}  {key.role:<8}  {created}  {_state(key, now):<8}  {key.name}")
    return 0


def revoke_key(path: Path, key_id: str, now_s: Wall = wall_s) -> int:
    """Revoke a key and say so. Raises `KeysError`."""
    key = KeyFile(path).revoke(key_id, int(now_s()))
    typer.echo(f"revoked {key.key_id} ({key.role}, {key.name})")
    return 0


def _state(key: Key, now_s: float) -> str:
    if key.revoked_at_s is not None:
        return "revoked"
    return "expired" if key.is_expired(now_s) else "good"
