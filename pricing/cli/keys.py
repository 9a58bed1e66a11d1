"""`equilibrium keys …`: API keys, with or without a service that runs."""

from __future__ import annotations

from typing import Annotated

import typer

from pricing.cli.settings import with_settings

keys_app = typer.Typer(help="API keys: make, list, revoke.", rich_markup_mode=None)


@keys_app.command(epilog="Example: equilibrium keys create --role operator --name anna")
def create(
    role: Annotated[str, typer.Option(help="client, producer, operator or admin.")],
    name: Annotated[str, typer.Option(help="Whose key it is; shown in the audit.")],
    expires_in_days: Annotated[
        float | None, typer.Option(help="Let it end after so many days.", min=0.0001, max=3650)
    ] = None,
) -> int:
    """Make an API key and print it once; only its hash is kept."""
    from pricing.cli.key_file import create_key

    return with_settings(create_key, role=role, name=name, expires_in_days=expires_in_days)


@keys_app.command(epilog="Example: equilibrium keys ls")
def ls() -> int:
    """List the keys: id, role, name and state."""
    from pricing.cli.key_file import list_keys

    return with_settings(list_keys)


@keys_app.command(epilog="Example: equilibrium keys revoke abcde23456")
def revoke(key_id: Annotated[str, typer.Argument(help="As `keys ls` shows it.")]) -> int:
    """Let a key open nothing any more, within about a second."""
    from pricing.cli.key_file import revoke_key

    return with_settings(revoke_key, key_id)
