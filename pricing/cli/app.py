"""The command line: `equilibrium COMMAND`.

Exit codes: 0 done, 1 failed at run time, 2 wrong usage or settings. Every failure is one line
on standard error. `status` and `drill` have codes of their own.
"""

from __future__ import annotations

import signal
import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from pricing import __version__
from pricing.cli.dead_letters import dlq_app
from pricing.cli.keys import keys_app
from pricing.cli.local import demo, drill, stack
from pricing.cli.processes import api, check_config, migrate, processor
from pricing.cli.spool import spool_app
from pricing.cli.status import status
from pricing.errors import CatalogueError, PolicyError, PricingError
from streaming.errors import StreamingError

app = typer.Typer(
    name="equilibrium",
    help="Real-time surge pricing that keeps answering.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

# In the order of `--help`.
app.command(epilog="Example: equilibrium demo --port 8000 --duration 60")(demo)
app.command(
    epilog="Example: equilibrium stack -- pytest tests/integration",
    context_settings={"ignore_unknown_options": True},  # they are the command's that it runs
)(stack)
app.command(epilog="Example: EQUILIBRIUM_HTTP_PORT=8080 equilibrium api")(api)
app.command(epilog="Example: EQUILIBRIUM_PROCESSOR_INSTANCE=p1 equilibrium processor")(processor)
app.command(epilog="Example: equilibrium migrate")(migrate)
app.command(epilog="Example: equilibrium drill redis --dwell 10")(drill)
app.command(epilog="Example: equilibrium status --url http://127.0.0.1:8000 --watch")(status)
app.command(epilog="Example: equilibrium check-config")(check_config)
app.add_typer(keys_app, name="keys")
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
    except Exception as error:  # noqa: BLE001 - unknown errors are re-raised by `_fail_with`
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
    from pricing.wiring.settings import SettingsError

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
