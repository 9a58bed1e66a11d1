"""The spool as its users see it: append on one side, lanes on the other."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog

from fallback.clock import Monotonic, Wall, monotonic_s, wall_s
from fallback.errors import SpoolClosed, SpoolFailed
from fallback.observer import notify
from fallback.spool.config import SpoolConfig
from fallback.spool.format.io import Files, RealFiles
from fallback.spool.format.record import Durability, Entry
from fallback.spool.reading.lane import Lane
from fallback.spool.reading.read_loop import ReadLoop
from fallback.spool.reading.reader import Reader
from fallback.spool.startup.opening import OpenedDirectory, open_directory
from fallback.spool.status import SpoolObserver, SpoolState, SpoolStats
from fallback.spool.writing.committer import CommitResult, Committer
from fallback.spool.writing.intake import Intake

_log = structlog.get_logger(__name__)


class Spool:
    """A durable log in one directory. Made by `Spool.open`; belongs to one event loop."""

    def __init__(
        self,
        directory: Path,
        config: SpoolConfig,
        opened: OpenedDirectory,
        *,
        files: Files,
        observers: Sequence[SpoolObserver],
        now_s: Monotonic,
        now_ms: Callable[[], int],
        with_intake: bool,
    ) -> None:
        self.directory = directory
        self.config = config
        self._opened = opened
        self._observers = tuple(observers)
        self._now_ms = now_ms
        self._with_intake = with_intake
        self._loop = asyncio.get_running_loop()
        self._read_loop = ReadLoop(
            directory,
            config,
            opened,
            files=files,
            on_damage=self._tell_damage,
            is_tight=self._is_tight,
        )
        self._reader: Reader = self._read_loop.reader
        self._writer = opened.writer
        self._committer = Committer(
            opened.writer, config, opened.disk_usage, post=self._post, now_s=now_s
        )
        self._intake = Intake(
            config, self._committer, self._reader.lanes, loop=self._loop, now_ms=now_ms
        )
        self._state = SpoolState.HEALTHY
        self._is_closed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        directory: Path,
        config: SpoolConfig | None = None,
        *,
        files: Files | None = None,
        observers: Sequence[SpoolObserver] = (),
        now_s: Monotonic = monotonic_s,
        now_wall_s: Wall = wall_s,
        random: Callable[[int], bytes] = secrets.token_bytes,
        with_intake: bool = True,
    ) -> AsyncIterator[Spool]:
        """Open the spool in a directory, made when missing; closes it at the end of the block.

        Without intake it only hands out what is there: for the spool of a dead process. Raises
        `SpoolLocked`, `SpoolFailed`.
        """
        config = config or SpoolConfig()
        files = files or RealFiles()

        def now_ms() -> int:
            return int(now_wall_s() * 1000)

        opening = partial(open_directory, files, directory, config, now_ms=now_ms, random=random)
        opened = await _in_thread(partial(opening, with_intake=with_intake))
        spool = cls(
            directory,
            config,
            opened,
            files=files,
            observers=observers,
            now_s=now_s,
            now_ms=now_ms,
            with_intake=with_intake,
        )
        spool._start()
        try:
            yield spool
        finally:
            await spool._close()

    async def append(
        self, entries: Sequence[Entry], *, durability: Durability, timeout_s: float
    ) -> range:
        """Keep entries; returns their sequence numbers, neighbours, in the order given.

        A full spool makes it wait for room. Raises `SpoolFull`, `AppendTimedOut`,
        `SpoolFailed`, `SpoolClosed`, `EntryTooLarge`, `TooManyLanes`. A caller who is cancelled
        does not know whether the entries were kept.
        """
        if self._is_closed or not self._with_intake:
            raise SpoolClosed("the spool takes no entries")
        if self._writer.has_failed:
            raise SpoolFailed("the disk failed")
        is_durable = durability is Durability.DURABLE
        return await self._intake.append(entries, is_durable=is_durable, timeout_s=timeout_s)

    async def lanes(self) -> AsyncIterator[Lane]:
        """Every lane once, in the order they turn up; goes on until the spool is closed."""
        async for lane in self._read_loop.lanes():
            yield lane

    @property
    def state(self) -> SpoolState:
        """How well it is now."""
        if self._is_closed:
            return SpoolState.CLOSED
        if self._writer.has_failed:
            return SpoolState.FAILED
        if not self._with_intake:
            return SpoolState.HEALTHY
        if self._committer.is_full:
            return SpoolState.FULL
        percent = self._committer.space.percent
        if percent >= self.config.shed_percent:
            return SpoolState.SHEDDING
        return SpoolState.FILLING if percent >= self.config.warn_percent else SpoolState.HEALTHY

    @property
    def is_indexed(self) -> bool:
        """Everything that former processes left was read once."""
        return not self._reader.unread()

    def stats(self) -> SpoolStats:
        """The figures now."""
        space = self._committer.space
        read_loop, recovered = self._read_loop, self._opened.recovered
        oldest_ms = read_loop.oldest_ms()
        return SpoolStats(
            state=self.state,
            records=read_loop.pending_records(),
            lanes=len(self._reader.lanes),
            bytes=space.used,
            quota_bytes=space.quota,
            free_bytes=space.free,
            percent=space.percent,
            oldest_age_ms=None if oldest_ms is None else max(0, self._now_ms() - oldest_ms),
            unsynced_records=self._writer.unsynced,
            corrupt_records=read_loop.corrupt_records + recovered.lost_records,
            corrupt_bytes=read_loop.corrupt_bytes + recovered.corrupt_bytes,
            holes=read_loop.holes + (recovered.lost_records > 0),
            torn_bytes=recovered.torn_bytes,
            sync_errors=self._writer.sync_errors,
            cursor_errors=self._committer.cursor_errors,
            read_errors=read_loop.read_errors,
            commits=self._committer.commits,
        )

    def _post(self, result: CommitResult) -> None:
        """Hand a commit's result to the event loop. Called on the writer thread."""
        try:
            self._loop.call_soon_threadsafe(self._take_in, result)
        except RuntimeError:  # closed; whoever waited for this went with it
            _log.warning("the event loop ended before the spool")

    def _take_in(self, result: CommitResult) -> None:
        # Before the answers: a caller who then looks at its lane finds its records there.
        for written in result.written:
            self._reader.add_written(written)
        self._intake.hand_out(result.answers)
        self._read_loop.wake()
        self._tell_commit(result)
        self._tell_state()

    def _tell_commit(self, result: CommitResult) -> None:
        if result.commit_s is None or not self._observers:
            return
        records = [r for written in result.written for r in written.records[written.fresh :]]
        size = sum(len(record.body) for record in records)
        for observer in self._observers:
            notify(observer.on_commit, len(records), size, result.commit_s)

    def _tell_state(self) -> None:
        old, new = self._state, self.state
        if old is new:
            return
        self._state = new
        if new is not SpoolState.CLOSED:
            _log.warning("spool state changed", old=old.value, new=new.value)
        for observer in self._observers:
            notify(observer.on_state_change, old, new)

    def _tell_damage(self, damage: object) -> None:
        for observer in self._observers:
            notify(observer.on_damage, damage)

    def _is_tight(self) -> bool:
        return self._committer.space.percent >= self.config.warn_percent

    def _start(self) -> None:
        self._committer.start(with_intake=self._with_intake)
        self._read_loop.start(self._committer.save)

    async def _close(self) -> None:
        """Refuse new entries, commit those that wait, write the cursor, end the threads."""
        self._is_closed = True
        # The reading side first: the cursor that is written last must be the last one.
        await self._read_loop.stop()
        self._committer.save(self._read_loop.cursor())
        self._committer.stop()
        if not await asyncio.to_thread(self._committer.join, self.config.close_timeout_s):
            # The lock stays: a write may still be under way.
            _log.error("spool not closed: the disk does not answer")
            return
        self._intake.close()
        self._tell_state()
        self._opened.close()


async def _in_thread(opening: Callable[[], OpenedDirectory]) -> OpenedDirectory:
    running = asyncio.ensure_future(asyncio.to_thread(opening))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        # The thread goes on; what it locks must not stay locked.
        running.add_done_callback(_close_unwanted)
        raise


def _close_unwanted(preparing: asyncio.Future[OpenedDirectory]) -> None:
    if not preparing.cancelled() and preparing.exception() is None:
        opened = preparing.result()
        opened.writer.close()
        opened.close()
