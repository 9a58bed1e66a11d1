"""Work that runs beside a block and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

_log = structlog.get_logger(__name__)


@asynccontextmanager
async def in_background(name: str, *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` while open, each as a task of that name.

    Work that breaks is logged at once and the block goes on without it: a task group would end
    the block with it, and wrap whatever the block itself raises.
    """
    tasks = [asyncio.create_task(one, name=name) for one in work]
    for task in tasks:
        task.add_done_callback(_tell_of_the_broken)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _tell_of_the_broken(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("work in the background broke", work=task.get_name(), exc_info=error)
