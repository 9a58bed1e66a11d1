"""`equilibrium status`: how a service is, asked over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from pricing.cli.settings import with_settings


def status(
    url: Annotated[
        str | None, typer.Option(help="Of the API; HTTP_HOST and HTTP_PORT by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole body, for programs.")] = False,
    watch: Annotated[bool, typer.Option(help="Show it again every second, until Ctrl-C.")] = False,
    key: Annotated[
        str | None, typer.Option(envvar="EQUILIBRIUM_API_KEY", help="Needed with AUTH=keys.")
    ] = None,
) -> int:
    """Show the mode and its causes. Exit code: 0 normal, 3 degraded, 4 emergency, 1 unreachable."""
    from pricing.cli.status_report import Target, own_url, show_status

    here = with_settings(own_url)
    try:
        target = Target(url=url or here, key=key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return show_status(target, as_json=as_json, watch=watch)
