"""Finds the spools that dead processes left, drains them, and removes them.

    <home>/0, <home>/1, …      one directory for each process that runs at the same time

A process claims the first directory that nobody holds, so after a restart it goes on with its
own. What is left over belongs to nobody alive; whoever sees it first delivers it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog

from fallback.errors import SpoolFailed, SpoolLocked
from fallback.pump.pump import Pump
from fallback.spool import Spool, SpoolConfig

_log = structlog.get_logger(__name__)

_PROCESSES_AT_MOST = 100
_LOOK_S = 0.25
_EVERY_S = 30.0
_KEPT = "corrupt"
"""Copies of damaged bytes: somebody may want to look."""

PumpFor = Callable[[Spool], Pump]


def spool_directories(home: Path) -> list[Path]:
    """The directories of a home, by number."""
    if not home.is_dir():
        return []
    found = [path for path in home.iterdir() if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


@asynccontextmanager
async def claimed_spool(home: Path, config: SpoolConfig, **options: Any) -> AsyncIterator[Spool]:
    """Open the first spool that nobody holds; `options` are those of `Spool.open`.

    Raises `SpoolFailed`, and `SpoolLocked` where a hundred processes hold them all.
    """
    for number in range(_PROCESSES_AT_MOST):
        opening = Spool.open(home / str(number), config, **options)
        try:
            spool = await opening.__aenter__()
        except SpoolLocked:
            continue
        async with AsyncExitStack() as stack:
            stack.push_async_exit(opening.__aexit__)
            yield spool
        return
    raise SpoolLocked(f"all {_PROCESSES_AT_MOST} spools are open elsewhere")


@asynccontextmanager
async def adopting(
    home: Path, own: Path, config: SpoolConfig, pump_for: PumpFor, *, every_s: float = _EVERY_S
) -> AsyncIterator[None]:
    """Look for spools of dead processes now and every so often, and drain them."""
    adoption = _Adoption(home, own, config, pump_for)
    adoption.start(adoption.look_every(every_s))
    try:
        yield
    finally:
        await adoption.stop()


class _Adoption:
    def __init__(
        self,
        home: Path,
        own: Path,
        config: SpoolConfig,
        pump_for: PumpFor,
    ) -> None:
        self._home = home
        self._known = {own}
        self._config = config
        self._pump_for = pump_for
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="adoption")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_every(self, every_s: float) -> None:
        while True:
            for directory in await asyncio.to_thread(spool_directories, self._home):
                if directory not in self._known:
                    self._known.add(directory)
                    self.start(self._adopt(directory))
            await asyncio.sleep(every_s)

    async def _adopt(self, directory: Path) -> None:
        try:
            async with Spool.open(directory, self._config, with_intake=False) as spool:
                await self._drain(spool)
                if await asyncio.to_thread(_remove, directory):
                    _log.info("spool of a dead process delivered", spool=directory.name)
                    self._known.discard(directory)
        except SpoolLocked:
            self._known.discard(directory)  # its process lives; look again later
        except (SpoolFailed, OSError) as error:
            _log.error("spool not adopted", spool=directory.name, error=str(error))

    async def _drain(self, spool: Spool) -> None:
        _log.warning("adopting the spool of a dead process", spool=spool.directory.name)
        # What is delivered is deleted by the spool's own thread: which tells nobody.
        async with self._pump_for(spool):
            while await asyncio.to_thread(_has_segments, spool.directory):  # noqa: ASYNC110 - see above
                await asyncio.sleep(_LOOK_S)


def _has_segments(directory: Path) -> bool:
    return any(directory.glob("*.seg"))


def _remove(directory: Path) -> bool:
    """Remove a drained spool under its lock. False: damaged bytes are kept in it."""
    if (directory / _KEPT).exists():
        return False
    shutil.rmtree(directory)
    return True
