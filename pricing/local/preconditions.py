"""What has to hold before anything is started, each told in one line where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pricing.embedded.ports import LOOPBACK, is_free
from pricing.errors import StartupError


def check_port(port: int) -> None:
    """Raise `StartupError` where another program has the port of the API."""
    if not is_free(port):
        raise StartupError(
            f"port {port} on {LOOPBACK} is in use: end that program or choose another port"
        )


@contextmanager
def packages_of_the(command: str) -> Iterator[None]:
    """Import what `command` needs inside; a package that is missing is a `StartupError`."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise StartupError(
            f"the {command} needs the package {error.name}: install equilibrium[embedded]"
        ) from error
