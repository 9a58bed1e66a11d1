"""The settings of a command, loaded when it runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from pricing.cli.output import complain
from pricing.errors import StateUnreadable

if TYPE_CHECKING:  # reading them needs pydantic, which takes longer than all of `--help`
    from pricing.wiring.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")


def with_settings(
    run: Callable[Concatenate[Settings, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call `run` with the settings before its other arguments. Raises `SettingsError`."""
    from pricing.wiring.settings import load_settings

    return run(load_settings(), *args, **kwargs)


def state_directory(settings: Settings) -> Path:
    """The service's directory. Raises `StateUnreadable` where there is none."""
    path = settings.state_dir
    if not path.is_dir():
        raise StateUnreadable(f"{path}: no such directory; EQUILIBRIUM_STATE_DIR names it")
    return path


def warn_of_unknown_settings() -> None:
    """Name on standard error what looks like a setting and is none: a typing error, mostly."""
    from pricing.wiring.settings_report import unknown_settings

    for name in unknown_settings(os.environ):
        complain(f"{name} is not a setting and is ignored")
