"""Every error that asyncpg has is one of ours at the border."""

from __future__ import annotations

import inspect

import asyncpg
import pytest

from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
    MigrationError,
)
from pricing.stores.postgres_client import _BY_CLASS, border, translate


def _driver_errors(base: type[Exception]) -> list[type[Exception]]:
    members = inspect.getmembers(asyncpg.exceptions, inspect.isclass)
    return sorted(
        {kind for _, kind in members if issubclass(kind, base)}, key=lambda kind: kind.__name__
    )


SERVER_ERRORS = _driver_errors(asyncpg.PostgresError)
CLIENT_ERRORS = [
    *_driver_errors(asyncpg.InterfaceError),
    *_driver_errors(asyncpg.InternalClientError),
]


@pytest.mark.parametrize("kind", [*SERVER_ERRORS, *CLIENT_ERRORS], ids=lambda kind: kind.__name__)
def test_driver_error_becomes_leaf_without_its_text(kind):
    ours = translate(kind("secret text"))
    assert type(ours) in (DependencyRefused, DependencyTimeout, DependencyUnavailable)
    assert ours.dependency == "database"
    assert "secret" not in str(ours)


@pytest.mark.parametrize("kind", CLIENT_ERRORS, ids=lambda kind: kind.__name__)
def test_client_error_is_decided_on_purpose(kind):
    """A new one in a new driver fails here, unless it is a kind of a decided one."""
    decided = {kind for kind, _, _ in _BY_CLASS}
    assert decided & set(kind.__mro__[: kind.__mro__.index(Exception)])


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        (TimeoutError(), DependencyTimeout),
        (asyncpg.QueryCanceledError(), DependencyTimeout),
        (asyncpg.LockNotAvailableError(), DependencyTimeout),
        (ConnectionRefusedError(), DependencyUnavailable),
        (ConnectionResetError(), DependencyUnavailable),
        (asyncpg.ConnectionDoesNotExistError(), DependencyUnavailable),
        (asyncpg.CannotConnectNowError(), DependencyUnavailable),
        (asyncpg.AdminShutdownError(), DependencyUnavailable),
        (asyncpg.CrashShutdownError(), DependencyUnavailable),
        (asyncpg.InterfaceError("connection is closed"), DependencyUnavailable),
        (asyncpg.InternalClientError(), DependencyUnavailable),
        (asyncpg.InvalidPasswordError(), DependencyRefused),
        (asyncpg.InvalidCatalogNameError(), DependencyRefused),
        (asyncpg.UndefinedTableError(), DependencyRefused),
        (asyncpg.CheckViolationError(), DependencyRefused),
        (asyncpg.TooManyConnectionsError(), DependencyRefused),
        (asyncpg.ReadOnlySQLTransactionError(), DependencyRefused),
        (asyncpg.DeadlockDetectedError(), DependencyRefused),
        (asyncpg.DataError("too large"), DependencyRefused),
        (asyncpg.PostgresError(), DependencyRefused),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_error_becomes_the_leaf_for_its_cause(error, leaf):
    assert type(translate(error)) is leaf


@pytest.mark.parametrize(
    "error", [DependencySaturated("database", "full"), MigrationError("no"), KeyError("bug")]
)
def test_error_of_others_passes_the_border(error):
    with pytest.raises(type(error)) as caught, border():
        raise error
    assert caught.value is error


def test_driver_error_is_the_cause_of_ours():
    cause = asyncpg.QueryCanceledError()
    with pytest.raises(DependencyError) as caught, border():
        raise cause
    assert caught.value.__cause__ is cause
