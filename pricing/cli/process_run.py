"""What the service's own processes do: open the parts, work, drain, exit code 0."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
import typer
import uvloop

from pricing.access.keys import KeyFile, KeysError
from pricing.api.server import ServerConfig, serve
from pricing.cli.settings import warn_of_unknown_settings
from pricing.drain import Drain
from pricing.logs import configure_logs
from pricing.processor.probes import create_probes
from pricing.stores.migrate import migrate
from pricing.surge.policy.file import load_policy
from pricing.wiring.api import open_api
from pricing.wiring.configs import database_config, kafka_config, window_config
from pricing.wiring.processor import open_processor
from pricing.wiring.settings import Settings, SettingsError
from pricing.wiring.settings_report import effective
from pricing.writing.topics import create_topics, warn_of_clashes
from pricing.zones import load_catalogue

_log = structlog.get_logger(__name__)

_MIGRATE_TIMEOUT_S = 60.0


def run_api(settings: Settings) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    return _run(settings, _api)


def run_processor(settings: Settings) -> int:
    """Price zones until SIGTERM or Ctrl-C."""
    return _run(settings, _processor)


def run_migrate(settings: Settings) -> int:
    """Bring schema, zones and topics up to date; says what it did."""
    return _run(settings, _migrate)


def show_config(settings: Settings) -> int:
    """Print the effective settings, once every file that one names could be read.

    Raises `CatalogueError`, `PolicyError`, or `SettingsError` for the file of keys.
    """
    _read_files(settings)
    rows = effective(settings)
    width = max(len(name) for name, _, _ in rows)
    for name, value, origin in rows:
        typer.echo(f"{name:<{width}}  {value}  ({origin})")
    warn_of_unknown_settings()
    return 0


def _read_files(settings: Settings) -> None:
    load_catalogue(settings.zones_file)
    load_policy(settings.policy_file, window_config(settings))
    try:
        KeyFile(settings.keys_path).load()
    except KeysError as error:
        raise SettingsError(str(error)) from error


def _run(settings: Settings, main: Callable[[Settings], Coroutine[Any, Any, int]]) -> int:
    configure_logs(settings.log_level, settings.log_format)
    warn_of_unknown_settings()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main(settings))


def _spare_the_collector() -> None:
    """Leave what the start has made, and what stays, out of every later collection of garbage.

    A full one would look at some 100,000 objects, and hold every request up for tens of ms.
    """
    gc.freeze()


async def _api(settings: Settings) -> int:
    async with open_api(settings) as (app, drain):
        _spare_the_collector()
        await serve(app, settings.http_host, settings.http_port, drain=drain)
    return 0


async def _processor(settings: Settings) -> int:
    drain = Drain()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.begin)
    async with open_processor(settings) as (processor, metrics), asyncio.TaskGroup() as group:
        if settings.processor_port:
            probes = create_probes(processor, metrics)
            # The processor decides when to end; its probes have nothing of their own to finish.
            config = ServerConfig(drain_delay_s=0, grace_s=1, handles_signals=False)
            group.create_task(
                serve(
                    probes,
                    settings.http_host,
                    settings.processor_port,
                    drain=drain,
                    config=config,
                )
            )
        await processor.run(drain)
    return 0


async def _migrate(settings: Settings) -> int:
    catalogue = load_catalogue(settings.zones_file)
    report = await migrate(database_config(settings), catalogue.zones, timeout_s=_MIGRATE_TIMEOUT_S)
    typer.echo(str(report))
    warn_of_clashes(await create_topics(kafka_config(settings), timeout_s=_MIGRATE_TIMEOUT_S))
    return 0
