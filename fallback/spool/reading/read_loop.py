"""Runs the reader: one task that reads for the lanes, and writes down how far they are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import structlog

from fallback.spool.config import SpoolConfig
from fallback.spool.format.cursor import Cursor
from fallback.spool.format.io import Files
from fallback.spool.format.scan import Chunk, Damage
from fallback.spool.format.segment import SegmentName
from fallback.spool.reading.compaction import Compaction
from fallback.spool.reading.index import LiveSegment
from fallback.spool.reading.lane import Lane
from fallback.spool.reading.read_job import ReadJob, read_segment
from fallback.spool.reading.reader import Reader
from fallback.spool.startup.opening import OpenedDirectory
from fallback.spool.startup.quarantine import keep_damage

_IDLE_PAUSE_S = 0.02
"""Between reads that no lane waits for: 12 MB/s."""
_ERROR_PAUSE_S = 1.0
_COMPACTION_STEP_S = 0.005
_COMPACTION_PAUSE_S = 1.0
"""Between looks for a segment worth rewriting, after one that found none."""
_log = structlog.get_logger(__name__)


class _Save(Protocol):
    def __call__(self, cursor: Cursor, given_up: Sequence[SegmentName] = ()) -> None: ...


class ReadLoop:
    """The reader with its task and its thread."""

    def __init__(
        self,
        directory: Path,
        config: SpoolConfig,
        opened: OpenedDirectory,
        *,
        files: Files,
        on_damage: Callable[[Damage], None],
        is_tight: Callable[[], bool],
    ) -> None:
        self._directory = directory
        self._files = files
        self._quarantine = opened.quarantine
        self._disk_usage = opened.disk_usage
        self._read_bytes = config.read_bytes
        self._interval_s = config.cursor_interval_ms / 1000
        self._on_damage = on_damage
        self._is_tight = is_tight
        self._compaction: tuple[LiveSegment, Compaction] | None = None
        self._look_again_s = 0.0
        self._loop = asyncio.get_running_loop()
        self._wanted = asyncio.Event()
        self._found = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "spool-reader")
        self._task: asyncio.Task[None] | None = None
        self._saving: asyncio.TimerHandle | None = None
        self._save: _Save | None = None
        self._is_stopped = False
        self._is_keeping = False
        """Damaged bytes are on their way into quarantine."""
        self.reader = Reader(config, opened.recovered, self.wake, self._note_ack)
        self.corrupt_records = 0
        self.corrupt_bytes = 0
        self.holes = 0
        self.read_errors = 0

    def start(self, save: _Save) -> None:
        """Begin to read; `save` takes cursors, and segments to delete."""
        self._save = save
        self._task = self._loop.create_task(self._run())
        self._note_ack()

    async def stop(self) -> None:
        """End the consumers' waits and the task."""
        # First, so that no acknowledgement of a consumer that now ends starts another timer.
        self._is_stopped = True
        self.reader.close()
        self._found.set()
        if self._saving is not None:
            self._saving.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._loop.run_in_executor(None, self._thread.shutdown)

    def wake(self) -> None:
        """Look again whether there is something to read, or a new lane to tell of."""
        self._wanted.set()
        self._found.set()

    async def lanes(self) -> AsyncIterator[Lane]:
        """Every lane once; ends when the loop stops."""
        self.reader.wants_index = True
        self.wake()
        told = 0
        while not self._is_stopped:
            # Cleared before the look: a lane that turns up meanwhile sets it again.
            self._found.clear()
            found = list(self.reader.lanes.values())
            for lane in found[told:]:
                yield lane
            told = len(found)
            await self._found.wait()

    def cursor(self) -> Cursor:
        """What to write down now."""
        return self.reader.cursor()

    def pending_records(self) -> int:
        """Not yet acknowledged."""
        return self.reader.unread() + sum(lane.pending for lane in self.reader.lanes.values())

    def oldest_ms(self) -> int | None:
        """When the oldest undelivered record was appended, where known."""
        ages = [lane.oldest_ms() for lane in self.reader.lanes.values()]
        return min((age for age in ages if age is not None), default=None)

    def _note_ack(self) -> None:
        # One timer for all acknowledgements of an interval: a cursor costs a write.
        if self._saving is None and not self._is_stopped:
            self._saving = self._loop.call_later(self._interval_s, self._save_now)

    def _save_now(self) -> None:
        self._saving = None
        if self._is_keeping:
            # A cursor that moves past the damage lets the segment go, and its bytes with it.
            self._note_ack()
        elif self._save is not None:
            # In this order: the cursor must say of each segment given up that it is done.
            given_up = self.reader.give_up_delivered()
            self._save(self.reader.cursor(), given_up)

    async def _run(self) -> None:
        while True:
            # Cleared before the look, so that a wish that comes during a read is not lost.
            self._wanted.clear()
            try:
                pause_s = await self._read_some()
                if await self._compact_some():
                    pause_s = _COMPACTION_STEP_S if pause_s is None else pause_s
            except OSError as error:
                self.read_errors += 1
                # Its file may be what cannot be read; another look begins it anew.
                self._compaction = None
                _log.warning("spool read failed", error=repr(error))
                pause_s = _ERROR_PAUSE_S
            if pause_s is None:
                await self._wanted.wait()
            else:
                await asyncio.sleep(pause_s)

    async def _read_some(self) -> float | None:
        """Do one job of the reader. How long to rest after it; None: there was none."""
        job = self.reader.next_job()
        if job is None:
            return None
        chunks = await self._loop.run_in_executor(self._thread, self._read, job)
        for chunk in chunks:
            damages = self.reader.absorb(job, (chunk,))
            self._found.set()
            if damages:
                await self._take_stock(job, damages)
            # In small steps: whoever shares the event loop must not feel that a backlog is read.
            await asyncio.sleep(0)
        self._note_ack()
        return 0.0 if job.is_urgent else _IDLE_PAUSE_S

    async def _compact_some(self) -> bool:
        """Work on the segment that is rewritten, or choose one. Whether there is more to do.

        On the reading thread and in turn with it: no read meets a file that is exchanged.
        """
        if self._compaction is None:
            self._compaction = self._begin_compaction()
        if self._compaction is None:
            return False
        segment, compaction = self._compaction
        if await self._loop.run_in_executor(self._thread, compaction.step):
            self._compaction = None
            await self._exchange(segment, compaction)
        return True

    def _begin_compaction(self) -> tuple[LiveSegment, Compaction] | None:
        now_s = self._loop.time()
        if now_s < self._look_again_s or not self._is_tight():
            return None
        segment = self.reader.segments.compactable()
        if segment is None or not self._disk_usage.admits_draft(
            self.reader.segments.held_bytes(segment)
        ):
            self._pause_compaction()
            return None
        compaction = Compaction(
            self._files,
            self._directory,
            segment,
            self.reader.outstanding(),
            read_bytes=self._read_bytes,
            bytes_at_most=segment.extent // 2,
        )
        return segment, compaction

    async def _exchange(self, segment: LiveSegment, compaction: Compaction) -> None:
        if segment not in self.reader.segments:  # delivered meanwhile
            return
        # The writer's thread would delete the name while this one renames over it.
        segment.is_busy = True
        try:
            commit = compaction.commit
            done = await self._loop.run_in_executor(self._thread, commit, self._disk_usage)
        finally:
            segment.is_busy = False
        if not done:
            self._pause_compaction()
            return
        compacted = compaction.compacted
        segment.rewritten(compacted.records, compacted.offsets, len(compacted.data))
        self._note_ack()

    def _pause_compaction(self) -> None:
        """Look again after a while, also if nothing else happens: the spool may be full."""
        self._look_again_s = self._loop.time() + _COMPACTION_PAUSE_S
        self._loop.call_later(_COMPACTION_PAUSE_S, self._wanted.set)

    def _read(self, job: ReadJob) -> list[Chunk]:
        return read_segment(self._files, self._directory, job)

    async def _take_stock(self, job: ReadJob, damages: Sequence[Damage]) -> None:
        """Count and tell what is damaged, and keep its bytes before a cursor moves past it."""
        self._is_keeping = True
        try:
            for damage in damages:
                self.holes += 1
                self.corrupt_records += damage.lost
                self.corrupt_bytes += damage.size
                _log.error(
                    "spool damaged",
                    segment=job.segment.file_name(),
                    at=damage.at,
                    size=damage.size,
                    lost=damage.lost,
                )
                self._on_damage(damage)
                keep = (self._files, self._directory, self._quarantine, job.segment, damage)
                await self._loop.run_in_executor(self._thread, keep_damage, *keep)
        finally:
            self._is_keeping = False
