"""What `equilibrium status` does: shows people a table, and programs JSON and an exit code.

Exit codes: 0 normal, 3 degraded, 4 emergency, 1 unreachable.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from fallback.mode import Level
from pricing.wiring.settings import Settings

EXIT_CODES = {"normal": 0, "degraded": 3, "emergency": 4}
UNREACHABLE = 1
_TIMEOUT_S = 5.0
_EVERY_S = 1.0
_NO_KEY = (401, 403)
_COLOURS = {"normal": "green", "degraded": "yellow", "emergency": "red"}


class Unreachable(Exception):
    """Nothing sensible came back. The message is one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which service is asked, and with what key."""

    url: str
    key: str | None = None

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError(f"--url {self.url}: begin with http:// or https://")


def own_url(settings: Settings) -> str:
    """Where the API of this machine's settings is."""
    return f"http://{settings.http_host}:{settings.http_port}"


def fetch(target: Target) -> dict[str, Any]:
    """The mode, with the fleet. Raises `Unreachable`."""
    request = Request(  # noqa: S310 - the scheme was checked
        f"{target.url.rstrip('/')}/api/v1/system/mode?fleet=true"
    )
    if target.key:
        request.add_header("X-API-Key", target.key)
    try:
        # The environment's proxies are for other networks.
        with build_opener(ProxyHandler({})).open(request, timeout=_TIMEOUT_S) as response:
            body = json.load(response)
        data: dict[str, Any] = body["data"]
        EXIT_CODES[data["mode"]]
    except HTTPError as error:
        hint = "; give a key by EQUILIBRIUM_API_KEY or --key" if error.code in _NO_KEY else ""
        raise Unreachable(f"{target.url} answers {error.code} {error.reason}{hint}") from error
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise Unreachable(f"{target.url} does not answer: {reason}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise Unreachable(f"{target.url} is no service of this kind") from error
    return data


def show_status(target: Target, *, as_json: bool, watch: bool) -> int:
    """Print the status once, or until Ctrl-C; returns the exit code of the last one."""
    if watch:
        return _watch(target, as_json=as_json)
    try:
        data = fetch(target)
    except Unreachable as error:
        sys.stderr.write(f"equilibrium: {error}\n")
        return UNREACHABLE
    if as_json:
        typer.echo(json.dumps(data, indent=2))
    else:
        Console().print(render(data))
    return EXIT_CODES[data["mode"]]


def _watch(target: Target, *, as_json: bool, sleep: Callable[[float], None] = time.sleep) -> int:
    code = UNREACHABLE
    console = Console()
    with Live(console=console, auto_refresh=False, screen=False) as live:
        try:
            while True:
                code, view = _look(target)
                if as_json or not console.is_terminal:
                    typer.echo(json.dumps(view) if isinstance(view, dict) else str(view))
                else:
                    shown = render(view) if isinstance(view, dict) else view
                    live.update(shown, refresh=True)
                sleep(_EVERY_S)
        except KeyboardInterrupt:
            return code


def _look(target: Target) -> tuple[int, dict[str, Any] | str]:
    try:
        data = fetch(target)
    except Unreachable as error:
        return UNREACHABLE, str(error)
    return EXIT_CODES[data["mode"]], data


def render(data: dict[str, Any]) -> RenderableType:
    """The status as tables."""
    colour = _COLOURS[data["mode"]]
    head = Table.grid(padding=(0, 2))
    head.add_row("mode", f"[bold {colour}]{data['mode']}[/] ({data['level']})")
    head.add_row("since", str(data["since"]))
    if data["computed_level"] != data["level"]:
        head.add_row("inputs say", str(data["computed_level"]))
    if data["recovering"]:
        head.add_row("", f"recovering: it gets better by itself{_held(data)}")
    if data["read_only"]:
        head.add_row("", "[red]read-only: the database takes no writes[/]")
    override = data["override"]
    if override is not None:
        text = f"{override['kind']} {override['level']} by {override['actor']}"
        text += f" until {override['expires_at']}: {override['reason']}"
        head.add_row("override", escape(text))
    backlog = data["backlog"]
    age = backlog["oldest_age_s"] or 0
    waiting = f"{backlog['events']} events, the oldest {age:.0f} s ({backlog['state']})"
    head.add_row("backlog", waiting)
    parts: list[RenderableType] = [head, _dependencies(data["dependencies"])]
    if data["causes"]:
        parts.append(_causes(data["causes"]))
    instances = data.get("fleet", {}).get("instances", [])
    if len(instances) > 1:
        parts.append(_fleet(instances))
    return Group(*parts)


def _held(data: dict[str, Any]) -> str:
    """Which inputs keep it from getting better just now."""
    level = Level.parse(data["level"])
    held = [
        f"{name} ({one['value']})"
        for name, one in data["inputs"].items()
        if Level.parse(one["holds"]) >= level
    ]
    return escape(f", held by {', '.join(held)}") if held else ""


def _dependencies(dependencies: dict[str, Any]) -> Table:
    table = Table("dependency", "breaker", "status", "last success", "load", title_justify="left")
    for name, one in dependencies.items():
        age = one["last_success_age_s"]
        seen = "never" if age is None else f"{age:.1f} s ago"
        table.add_row(name, one["breaker"], one["status"], seen, f"{one['ramp_percent']} %")
    return table


def _causes(causes: list[dict[str, Any]]) -> Table:
    table = Table("cause", "shows", "threshold", "level")
    for one in causes:
        table.add_row(one["input"], str(one["value"]), str(one["threshold"]), one["level"])
    return table


def _fleet(instances: list[dict[str, Any]]) -> Table:
    table = Table("instance", "mode", "level", "since", "heard of")
    for one in instances:
        colour = _COLOURS.get(one["mode"], "white")
        mode = f"[{colour}]{one['mode']}[/]"
        heard = f"{one['age_s']:.0f} s ago"
        table.add_row(one["instance"], mode, one["level"], one["since"], heard)
    return table
