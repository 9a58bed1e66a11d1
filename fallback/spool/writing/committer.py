"""The two threads of a spool: one that writes, one that prepares the next segment's file.

All callers that wait when the writer comes back from the disk travel in its next commit.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from fallback.clock import Monotonic
from fallback.errors import SpoolClosed, SpoolError, SpoolFailed
from fallback.spool.config import SpoolConfig
from fallback.spool.format.cursor import Cursor
from fallback.spool.format.segment import SegmentName
from fallback.spool.wakeup import Wakeup
from fallback.spool.writing.pending import Pending, Submission
from fallback.spool.writing.preallocation import Preparer
from fallback.spool.writing.quota import DiskUsage, Space
from fallback.spool.writing.writer import Writer, WrittenRecords

_log = structlog.get_logger(__name__)
_RETRY_S = 0.5
_LOOK_S = 0.5
"""A spool that is filling looks this often whether others made room on the volume."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an append."""

    submission: Submission
    first_seq: int = 0
    error: SpoolError | None = None


@dataclass(slots=True)
class CommitResult:
    """What the writer thread did in one go. `written` comes before `answers`."""

    written: list[WrittenRecords] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    commit_s: float | None = None
    """How long its commit took; None: there was none."""


class Committer:
    """The thread that writes. Public methods are for the event loop, private ones its own."""

    def __init__(
        self,
        writer: Writer,
        config: SpoolConfig,
        disk_usage: DiskUsage,
        *,
        post: Callable[[CommitResult], None],
        now_s: Monotonic,
    ) -> None:
        self._writer = writer
        self._config = config
        self._disk_usage = disk_usage
        self._post = post
        self._now_s = now_s
        self._wakeup = Wakeup()
        self._pending = Pending(records=config.pending_records, size=config.pending_bytes)
        self._preparer = Preparer(writer.preallocation, self._wakeup.wake)
        self._cursors: deque[Cursor] = deque(maxlen=1)
        self._given_up: deque[SegmentName] = deque()
        self._cursor = Cursor()
        self._is_cursor_saved = True
        self._is_cursor_synced = True
        self._deleting: list[SegmentName] = []
        self._due = _Due()
        self._taken: list[Submission] = []
        self._stopping = threading.Event()
        self._told = (False, False, False)
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self.is_blocked = False
        """The last append that was looked at fits nowhere."""
        self.commits = 0
        self.cursor_errors = 0
        self.space: Space = disk_usage.space(0)

    @property
    def is_full(self) -> bool:
        """Appends wait because there is no room on the disk."""
        return self.is_blocked and self._preparer.is_refused

    def start(self, *, with_intake: bool) -> None:
        """Start the threads; without intake no segment is prepared."""
        self._thread.start()
        if with_intake:
            self._preparer.start()

    def submit(self, submission: Submission) -> bool:
        """Queue an append. False: too much waits already."""
        if not self._pending.put(submission):
            return False
        self._wakeup.wake()
        return True

    def withdraw(self, submission: Submission) -> bool:
        """Take an append back. False: it is being written, or was."""
        return self._pending.withdraw(submission)

    def save(self, cursor: Cursor, given_up: Sequence[SegmentName] = ()) -> None:
        """Write acknowledgements, soon, and delete segments below the low-water mark.

        A newer state takes the place of an older one that is not yet written.
        """
        # In this order: whoever sees the names finds a cursor that allows their deletion.
        self._cursors.append(cursor)
        self._given_up.extend(given_up)
        self._wakeup.wake()

    def stop(self) -> None:
        """Commit what waits, sync, write the cursor, close the files, end."""
        self._stopping.set()
        self._preparer.stop()
        self._wakeup.wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end. False: the disk did not answer in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive() and self._preparer.join(timeout_s)

    def _run(self) -> None:
        try:
            has_more = False
            # No wait while there is more: callers who came during a commit make the next one.
            while not self._stopping.is_set():
                if not has_more:
                    self._wakeup.wait(self._due.wait_s(self._now_s()))
                has_more = self._commit_next()
                self._housekeeping()
            self._finish()
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for this thread
            _log.exception("spool writer stopped")
            self._writer.has_failed = True
            self._refuse([*self._taken, *self._pending.take()], SpoolFailed(repr(error)))

    def _commit_next(self) -> bool:
        """Commit what waits, as far as one segment holds it. Whether more can follow at once."""
        try:
            batch = self._pending.take(self._writer.room)
            if batch:
                self._commit(batch)
                return len(self._pending) > 0
            if not len(self._pending):
                # Whoever was blocked may have given up; it stays full until there is room.
                self.is_blocked = self.is_blocked and not self._writer.preallocation.ready_bytes
                return False
            self.is_blocked = not self._writer.roll()
        except SpoolFailed as error:
            self._refuse([*self._taken, *self._pending.take()], error)
            return False
        self._preparer.wake()
        return not self.is_blocked

    def _commit(self, batch: list[Submission]) -> None:
        # Kept until they are answered: if this thread breaks, they are refused and wait no more.
        self._taken = batch
        self.is_blocked = False
        entries = [stamped for submission in batch for stamped in submission.entries]
        # One that must be durable makes all of them so: they travel in one write.
        durable = any(submission.is_durable for submission in batch)
        began_s = self._now_s()
        seq = self._writer.commit(entries, durable=durable)
        took_s = self._now_s() - began_s
        self.commits += 1
        answers = []
        for submission in batch:
            answers.append(Answer(submission, seq))
            seq += len(submission.entries)
        self._taken = []
        self._post(CommitResult(self._writer.take_written(), answers, took_s))

    def _refuse(self, submissions: Sequence[Submission], error: SpoolError) -> None:
        self._taken = []
        answers = [Answer(submission, error=error) for submission in submissions]
        self._post(CommitResult(self._writer.take_written(), answers))

    def _housekeeping(self) -> None:
        now_s = self._now_s()
        try:
            self._sync_relaxed(now_s)
        except SpoolFailed as error:
            self._refuse(self._pending.take(), error)
        # Also after a failure: deliveries go on, and make room, on a spool that takes no more.
        try:
            self._keep_cursor(now_s)
            prepared_bytes = self._disk_usage.size(self._writer.preallocation.path)
            self.space = self._disk_usage.space(self._writer.room + prepared_bytes)
            self._due.look_s = now_s + _LOOK_S if self._is_tight() else None
        except OSError as error:
            self.cursor_errors += 1
            self._due.cursor_s = now_s + _RETRY_S
            _log.warning("spool housekeeping failed", error=repr(error))
        told = (self.is_full, self._is_tight(), self.space.percent >= self._config.shed_percent)
        if told != self._told:
            self._told = told
            self._post(CommitResult())

    def _is_tight(self) -> bool:
        return self.space.percent >= self._config.warn_percent

    def _sync_relaxed(self, now_s: float) -> None:
        if not self._writer.unsynced:
            self._due.sync_s = None
        elif self._due.sync_s is None:
            self._due.sync_s = now_s + self._config.relaxed_sync_ms / 1000
        elif now_s >= self._due.sync_s:
            self._due.sync_s = None
            self._writer.sync()
            written = self._writer.take_written()
            if written:
                self._post(CommitResult(written))

    def _keep_cursor(self, now_s: float) -> None:
        # Names first, then the cursor: `save` puts them in the other order, so that the cursor
        # found here allows every deletion found here.
        while self._given_up:
            self._deleting.append(self._given_up.popleft())
        if self._cursors:
            self._cursor = self._cursors.popleft()
            self._is_cursor_saved = self._is_cursor_synced = False
        stamped = replace(self._cursor, synced_seq=self._writer.synced_seq)
        if self._deleting:
            # Kept until it worked: a disk that fails now is asked again after `_RETRY_S`.
            self._writer.delete(self._deleting, stamped)
            self._deleting = []
            self._is_cursor_saved = self._is_cursor_synced = True
            self._preparer.wake()
        if not self._is_cursor_saved:
            self._writer.save_cursor(stamped, synced=False)
            self._is_cursor_saved = True
            self._due.cursor_s = self._due.cursor_s or now_s + self._config.cursor_sync_ms / 1000
        if self._due.cursor_s is not None and now_s >= self._due.cursor_s:
            if not self._is_cursor_synced:
                self._writer.save_cursor(stamped, synced=True)
                self._is_cursor_synced = True
            self._due.cursor_s = None

    def _finish(self) -> None:
        while self._commit_next():
            pass
        self._refuse(self._pending.take(), SpoolClosed("the spool was closed"))
        try:
            self._writer.sync()
        except SpoolFailed:
            _log.error("spool closed without its last sync")
        self._post(CommitResult(self._writer.take_written()))
        try:
            self._due.cursor_s = self._now_s()
            self._keep_cursor(self._due.cursor_s)
            self._writer.close()
        except OSError as error:
            _log.error("spool closed without its last cursor", error=repr(error))


@dataclass(slots=True)
class _Due:
    """Moments (monotonic) at which something is to be done without a wakeup; None: not at all."""

    sync_s: float | None = None
    cursor_s: float | None = None
    look_s: float | None = None

    def wait_s(self, now_s: float) -> float | None:
        all_moments = (self.sync_s, self.cursor_s, self.look_s)
        moments = [moment for moment in all_moments if moment is not None]
        return max(0.0, min(moments) - now_s) if moments else None
