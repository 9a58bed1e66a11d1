"""The command line: `equilibrium COMMAND`.

Exit codes: 0 done, 1 failed at run time, 2 wrong usage or settings. Every failure is one line
on standard error. Commands import what they need themselves, so that `--help` is quick.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from pricing import __version__
from pricing.cli.dead_letters import dlq_app
from pricing.cli.spool import spool_app
from pricing.errors import CatalogueError, PolicyError, PricingError
from pricing.wiring.settings import Settings, SettingsError
from streaming.errors import StreamingError

app = typer.Typer(
    name="equilibrium",
    help="Real-time surge pricing that keeps answering.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

keys_app = typer.Typer(help="API keys: make, list, revoke.", rich_markup_mode=None)
app.add_typer(keys_app, name="keys")

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where the servers keep their data.")
]
Kafka = Annotated[
    str, typer.Option("--kafka", help="tansu (from a wheel, memory only) or apache (Java, Maven).")
]


app.add_typer(spool_app, name="spool")
app.add_typer(dlq_app, name="dlq")


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _told_to_end)
    try:
        outcome = app(standalone_mode=False)
    except TyperException as error:  # every other exit of the parser is wrong usage
        _fail(f"{error.format_message()} (see --help)", 2)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(0)
    except BaseExceptionGroup as group:
        _fail_with(_first_leaf(group))
    except Exception as error:  # noqa: BLE001 - what it does not know, it raises again
        _fail_with(error)
    sys.exit(outcome if isinstance(outcome, int) else 0)


def _told_to_end(_number: int, _frame: object) -> NoReturn:
    """SIGTERM before a process has anything to drain; its event loop takes over later."""
    sys.exit(0)


def _first_leaf(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group that is not a group: what the others followed from."""
    first = group.exceptions[0]
    return _first_leaf(first) if isinstance(first, BaseExceptionGroup) else first


def _fail_with(error: BaseException) -> NoReturn:
    """One line for an error that we raise on purpose; anything else is a fault, with its trace."""
    if isinstance(error, SettingsError | CatalogueError | PolicyError):
        _fail(str(error), 2)
    if isinstance(error, PricingError | StreamingError):
        _fail(str(error), 1)
    raise error


def _fail(message: str, code: int) -> NoReturn:
    one_line = " ".join(message.split())
    sys.stderr.write(f"equilibrium: {one_line}\n")
    sys.exit(code)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"equilibrium {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    del version


@app.command(epilog="Example: equilibrium demo --port 8000 --duration 60")
def demo(  # noqa: PLR0917 - the options of a command, always given by name
    port: Annotated[int, typer.Option(help="Port of the HTTP API.", min=1, max=65535)] = 8000,
    data_dir: DataDir = None,
    kafka: Kafka = "tansu",
    trips: Annotated[
        Path | None, typer.Option(help="Replay this file of trips instead of the living city.")
    ] = None,
    speed: Annotated[float, typer.Option(help="How much faster the day goes.")] = 1.0,
    scale: Annotated[
        float, typer.Option(help="Requests a second; with --trips, copies of each trip.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same city.")] = 1,
    day: Annotated[
        str | None, typer.Option(help="With --trips: the day to start on (YYYY-MM-DD).")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="The city's time of day at the start (HH:MM), or now. "
            "By default the evening rush; with --trips now."
        ),
    ] = None,
    duration: Annotated[
        float | None, typer.Option(help="End after so many seconds, with a summary.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="redis|database|kafka@SECONDS: kill that server then."),
    ] = None,
) -> int:
    """Start everything on this machine and watch a city's prices move."""
    from pricing.demo import DemoOptions, run_demo

    try:
        options = DemoOptions(
            port=port,
            data_dir=data_dir,
            kafka=kafka,
            trips=trips,
            speed=speed,
            scale=scale,
            seed=seed,
            day=day,
            at=at,
            duration_s=duration,
            faults=tuple(fault or ()),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return run_demo(options)


@app.command(
    epilog="Example: equilibrium stack -- pytest tests/integration",
    context_settings={"ignore_unknown_options": True},
)
def stack(
    command: Annotated[list[str] | None, typer.Argument(help="Run this with the servers up.")] = (
        None
    ),
    data_dir: DataDir = None,
    kafka: Kafka = "tansu",
) -> int:
    """Start PostgreSQL, Valkey and Kafka; print their settings, or run a command with them."""
    from pricing.embedded import run_stack

    if kafka not in ("tansu", "apache"):
        raise typer.BadParameter(f"--kafka {kafka}: use tansu or apache")
    return run_stack(command or [], data_dir=data_dir, kafka=kafka)


@app.command(epilog="Example: EQUILIBRIUM_HTTP_PORT=8080 equilibrium api")
def api() -> int:
    """Serve prices and take events over HTTP, until SIGTERM."""
    from pricing.cli.processes import run_api

    return run_api(_settings())


@app.command(epilog="Example: EQUILIBRIUM_PROCESSOR_INSTANCE=p1 equilibrium processor")
def processor() -> int:
    """Turn the events into prices, until SIGTERM."""
    from pricing.cli.processes import run_processor

    return run_processor(_settings())


@app.command(epilog="Example: equilibrium migrate")
def migrate() -> int:
    """Bring the database's schema and the topics up to date; safe side by side, and again."""
    from pricing.cli.processes import run_migrate

    return run_migrate(_settings())


@keys_app.command(
    name="create", epilog="Example: equilibrium keys create --role operator --name anna"
)
def keys_create(
    role: Annotated[str, typer.Option(help="client, producer, operator or admin.")],
    name: Annotated[str, typer.Option(help="Whose key it is; shown in the audit.")],
    expires_in_days: Annotated[
        float | None, typer.Option(help="Let it end after so many days.", min=0.0001, max=3650)
    ] = None,
) -> int:
    """Make an API key and print it once; only its hash is kept."""
    from pricing.cli.keys import create_key

    return create_key(_key_settings(), role=role, name=name, expires_in_days=expires_in_days)


@keys_app.command(name="ls", epilog="Example: equilibrium keys ls")
def keys_ls() -> int:
    """List the keys: id, role, name and state."""
    from pricing.cli.keys import list_keys

    return list_keys(_key_settings())


@keys_app.command(name="revoke", epilog="Example: equilibrium keys revoke abcde23456")
def keys_revoke(key_id: Annotated[str, typer.Argument(help="As `keys ls` shows it.")]) -> int:
    """Let a key open nothing any more, within about a second."""
    from pricing.cli.keys import revoke_key

    return revoke_key(_key_settings(), key_id)


def _key_settings() -> Settings:
    from pricing.wiring.settings import load_settings

    return load_settings()


@app.command(epilog="Example: equilibrium drill redis --dwell 10")
def drill(
    name: Annotated[str, typer.Argument(help="redis, database, kafka, all or flap.")],
    port: Annotated[int, typer.Option(help="Port of the HTTP API.", min=1, max=65535)] = 8000,
    data_dir: DataDir = None,
    kafka: Kafka = "tansu",
    dwell: Annotated[
        float | None,
        typer.Option(
            help="MODE_DOWN_DWELL_S of the drilled service; 10 by default, 30 for flap.",
            min=1,
            max=600,
        ),
    ] = None,
) -> int:
    """Break the embedded servers on purpose, under load. Exit code 1: a promise was broken."""
    from pricing.drill import SCENARIOS, run_drill

    if name not in SCENARIOS:
        raise typer.BadParameter(f"{name}: use {', '.join(SCENARIOS)}")
    if kafka not in ("tansu", "apache"):
        raise typer.BadParameter(f"--kafka {kafka}: use tansu or apache")
    return run_drill(name, port=port, data_dir=data_dir, kafka=kafka, dwell_s=dwell)


@app.command(epilog="Example: equilibrium status --url http://127.0.0.1:8000 --watch")
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
    from pricing.cli.status import Target, show_status
    from pricing.wiring.settings import load_settings

    settings = load_settings()
    try:
        target = Target(url=url or f"http://{settings.http_host}:{settings.http_port}", key=key)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return show_status(target, as_json=as_json, watch=watch)


@app.command(name="check-config", epilog="Example: equilibrium check-config")
def check_config() -> int:
    """Show the effective settings, secrets masked, and where each came from."""
    from pricing.cli.processes import check_files
    from pricing.wiring.settings import load_settings
    from pricing.wiring.settings_report import effective

    settings = load_settings()
    check_files(settings)
    rows = effective(settings)
    width = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        typer.echo(f"{name:<{width}}  {value}  ({origin})")
    _warn_unknown()
    return 0


def _settings() -> Settings:
    """The settings of a process that is about to start; its logs are configured with them."""
    from pricing.logs import configure_logs
    from pricing.wiring.settings import load_settings

    settings = load_settings()
    configure_logs(settings.log_level, settings.log_format)
    _warn_unknown()
    return settings


def _warn_unknown() -> None:
    import os

    from pricing.wiring.settings_report import unknown_settings

    for name in unknown_settings(os.environ):
        sys.stderr.write(f"equilibrium: {name} is not a setting and is ignored\n")
