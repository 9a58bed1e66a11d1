"""Every error that the application raises on purpose.

    PricingError
    ├── DependencyError          a store or the broker did not do its part (catch this one)
    │   ├── DependencyTimeout        no answer within the deadline; the outcome is unknown
    │   ├── DependencyUnavailable    refused, reset, closed: the server is not there
    │   ├── DependencySaturated      our own cap or pool is full; says nothing about the server
    │   └── DependencyRefused        the server answered, and said no
    ├── CatalogueError           a zones file that cannot be used; names the line
    ├── TripsError               a trips file that cannot be replayed; names line and column
    ├── PolicyError              a policy that cannot be used; names the key
    ├── MigrationError           the database's schema is not one that this release can use
    ├── StartupError             a process cannot start; the message is one line and says what to do
    └── StateUnreadable          a command cannot read or write the state directory; names the path

Adapters raise the leaves; callers catch the broad classes.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from typing import Final

_ERRNO: Final = re.compile(r"^\[Errno \d+\] (.*?)(?:: '.*)?$", re.DOTALL)


class PricingError(Exception):
    """Base of the application's own errors."""


class DependencyError(PricingError):
    """A dependency did not do its part.

    `dependency` is its name ("redis", "database", "kafka"); `reason` a constant text
    that is safe to log and never holds an address, a key or a password.
    """

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.reason = reason


class DependencyTimeout(DependencyError):
    """No answer within the deadline; whether the work was done is unknown."""


class DependencyUnavailable(DependencyError):
    """Connection refused, reset, closed or never made."""


class DependencySaturated(DependencyError):
    """Our own cap or pool is full: a local fact that says nothing about the server."""


class DependencyRefused(DependencyError):
    """The server answered and refused: credentials, syntax, a constraint, out of memory."""


class CatalogueError(PricingError):
    """A zones file that cannot be used.

    `line` counts from 1, the header included; 0 means the whole file.
    """

    def __init__(self, source: str, line: int, reason: str) -> None:
        where = f"{source}, line {line}" if line else source
        super().__init__(f"{where}: {reason}")
        self.source = source
        self.line = line
        self.reason = reason


class TripsError(PricingError):
    """A trips file that cannot be replayed.

    `line` counts from 1, the header included; 0 means the whole file. `column` is None
    where the fault is not in one column.
    """

    def __init__(self, source: str, line: int, column: str | None, reason: str) -> None:
        where = f"{source}, line {line}" if line else source
        super().__init__(f"{where}, column {column}: {reason}" if column else f"{where}: {reason}")
        self.source = source
        self.line = line
        self.column = column
        self.reason = reason


class PolicyError(PricingError):
    """A policy that cannot be used. `key` is the dotted path of the value at fault."""

    def __init__(self, source: str, key: str, reason: str) -> None:
        super().__init__(f"{source}: {key}: {reason}" if key else f"{source}: {reason}")
        self.source = source
        self.key = key
        self.reason = reason


class MigrationError(PricingError):
    """The database's schema is unknown to this release, or a migration was edited after it ran."""


class StartupError(PricingError):
    """A process cannot start. The message is one line that says why and what to do."""


class StateUnreadable(PricingError):
    """Something in the state directory cannot be read or written. The message names the path."""


def os_reason(error: OSError) -> str:
    """What the operating system says, without the path; never empty, and never "None".

    Of an error that stands for many files, as `shutil.copytree` makes it: each reason once.
    """
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        reasons = Counter(_ERRNO.sub(r"\1", str(said)) for *_, said in error.args[0])
        return ", ".join(_of_files(reason, count) for reason, count in reasons.items())
    return error.strerror or str(error) or type(error).__name__


def _of_files(reason: str, count: int) -> str:
    return reason if count == 1 else f"{reason} ({count} files)"
