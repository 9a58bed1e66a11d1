"""Every error that redis-py has is one of ours at the border."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from redis import exceptions as driver

from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.stores import redis_client
from pricing.stores.redis_client import bounded, translate

DRIVER_ERRORS = [
    kind
    for _, kind in inspect.getmembers(driver, inspect.isclass)
    if issubclass(kind, Exception) and kind.__module__ == driver.__name__
]


def _made(kind: type[Exception]) -> Exception:
    text = "1 127.0.0.1:6379" if issubclass(kind, driver.AskError) else "secret text"
    return kind(text)


@pytest.mark.parametrize("kind", DRIVER_ERRORS, ids=lambda kind: kind.__name__)
def test_driver_error_stands_in_the_table_itself(kind):
    assert kind in redis_client._LEAVES
    ours = translate(_made(kind))
    assert type(ours) is not DependencyError
    assert ours.dependency == "redis"
    assert "secret" not in str(ours)


@pytest.mark.parametrize(
    ("error", "leaf"),
    [
        (driver.MaxConnectionsError(), DependencySaturated),
        (driver.TimeoutError(), DependencyTimeout),
        (TimeoutError(), DependencyTimeout),
        (driver.ConnectionError(), DependencyUnavailable),
        (ConnectionRefusedError(), DependencyUnavailable),
        (ConnectionResetError(), DependencyUnavailable),
        (RuntimeError("TCPTransport closed"), DependencyUnavailable),
        (driver.BusyLoadingError(), DependencyUnavailable),
        (driver.InvalidResponse(), DependencyUnavailable),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), DependencyUnavailable),
        (driver.AuthenticationError(), DependencyRefused),
        (driver.NoPermissionError(), DependencyRefused),
        (driver.OutOfMemoryError(), DependencyRefused),
        (driver.ReadOnlyError(), DependencyRefused),
        (driver.ResponseError("ERR"), DependencyRefused),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_error_becomes_the_leaf_for_its_cause(error, leaf):
    assert type(translate(error)) is leaf


def test_new_driver_error_goes_with_its_ancestor():
    class Novel(driver.ReadOnlyError):
        pass

    assert type(translate(Novel())) is DependencyRefused


def test_our_own_error_passes_the_border_unchanged():
    ours = DependencySaturated("redis", "full")
    assert translate(ours) is ours


def test_unknown_error_becomes_unavailable():
    class Foreign(Exception):
        pass

    assert type(translate(Foreign())) is DependencyUnavailable


async def test_deadline_becomes_a_timeout():
    with pytest.raises(DependencyTimeout):
        await bounded(asyncio.Event().wait(), 10)


async def test_cancellation_passes_the_border():
    task = asyncio.create_task(bounded(asyncio.Event().wait(), 60_000))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
