"""Waits for a condition instead of sleeping for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

_LOOK_EVERY_S = 0.01


async def until(condition: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    """Return once `condition()` holds. Fails the test, naming `what`, when it never does."""
    deadline = asyncio.get_running_loop().time() + within_s
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(_LOOK_EVERY_S)


def until_blocking(condition: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    """The same for a test without an event loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(_LOOK_EVERY_S)
