"""Takes appends: checks what needs no disk, waits for the answer, and ends the wait in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Sequence, Sized
from typing import Protocol

from fallback.errors import AppendTimedOut, EntryTooLarge, SpoolFull, TooManyLanes
from fallback.spool.config import SpoolConfig
from fallback.spool.format.record import LANE_BYTES, Entry, frame_bytes
from fallback.spool.format.segment import HEADER_BYTES
from fallback.spool.writing.committer import Answer, Committer
from fallback.spool.writing.pending import Submission
from fallback.spool.writing.writer import Stamped


class _Lanes(Container[bytes], Sized, Protocol):
    """The lanes in use."""


class Intake:
    """The way in. Belongs to the event loop."""

    def __init__(
        self,
        config: SpoolConfig,
        committer: Committer,
        lanes: _Lanes,
        *,
        loop: asyncio.AbstractEventLoop,
        now_ms: Callable[[], int],
    ) -> None:
        self._config = config
        self._committer = committer
        self._lanes = lanes
        self._loop = loop
        self._now_ms = now_ms
        self._largest = config.segment_bytes - HEADER_BYTES
        self._waiting = _Deadlines(loop, self._expire)

    async def append(
        self, entries: Sequence[Entry], *, is_durable: bool, timeout_s: float
    ) -> range:
        """As `Spool.append`, but for the spool's own state."""
        if not is_durable and self._committer.space.percent >= self._config.shed_percent:
            raise self._full()
        answer: asyncio.Future[int] = self._loop.create_future()
        # On the caller's side of the thread: whoever asks for too much costs the disk nothing.
        size = self._checked_size(entries)
        now_ms = self._now_ms()
        stamped = [Stamped(entry, now_ms) for entry in entries]
        submission = Submission(stamped, size, answer, timeout_s, is_durable=is_durable)
        if not self._committer.submit(submission):
            raise self._full(in_memory=not self._committer.is_full)
        self._waiting.add(submission)
        try:
            first = await answer
        except asyncio.CancelledError:
            # Too late where the write is under way; then it is stored, and nobody is told.
            self._committer.withdraw(submission)
            raise
        finally:
            self._waiting.discard(submission)
        return range(first, first + len(entries))

    def hand_out(self, answers: Iterable[Answer]) -> None:
        """Give answers to those who still wait for them."""
        for answer in answers:
            future = answer.submission.answer
            if future.done():  # cancelled, or its deadline passed while the disk worked
                continue
            if answer.error is None:
                future.set_result(answer.first_seq)
            else:
                future.set_exception(answer.error)

    def close(self) -> None:
        """Watch no deadlines any more. Call when every answer is handed out."""
        self._waiting.close()

    def _checked_size(self, entries: Sequence[Entry]) -> int:
        """Bytes of the frames."""
        if not entries:
            raise ValueError("no entries")
        total = 0
        for entry in entries:
            lane, body = entry
            if len(body) > self._config.entry_bytes:
                raise EntryTooLarge(len(body), self._config.entry_bytes)
            if len(lane) > LANE_BYTES:
                raise EntryTooLarge(len(lane), LANE_BYTES)
            if lane not in self._lanes and len(self._lanes) >= self._config.lanes:
                raise TooManyLanes(self._config.lanes)
            total += frame_bytes(entry)
        if total > self._largest:
            raise EntryTooLarge(total, self._largest)
        return total

    def _full(self, *, in_memory: bool = False) -> SpoolFull:
        percent = self._committer.space.percent
        return SpoolFull(self._config.retry_after_s, percent=percent, in_memory=in_memory)

    def _expire(self, submission: Submission) -> None:
        timeout_s = submission.timeout_s
        if submission.answer.done():
            return
        if not self._committer.withdraw(submission):
            submission.answer.set_exception(AppendTimedOut(timeout_s, may_be_stored=True))
        elif self._committer.is_full:
            submission.answer.set_exception(self._full())
        else:
            submission.answer.set_exception(AppendTimedOut(timeout_s, may_be_stored=False))


class _Deadlines:
    """One timer for all who wait: nearly none of them ever needs it."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_expiry: Callable[[Submission], None]
    ) -> None:
        self._loop = loop
        self._on_expiry = on_expiry
        self._deadlines: dict[Submission, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, submission: Submission) -> None:
        deadline_s = self._loop.time() + submission.timeout_s
        self._deadlines[submission] = deadline_s
        if self._timer is None or deadline_s < self._timer.when():
            self._arm(deadline_s)

    def discard(self, submission: Submission) -> None:
        self._deadlines.pop(submission, None)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, deadline_s: float) -> None:
        self.close()
        self._timer = self._loop.call_at(deadline_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        for submission, deadline_s in list(self._deadlines.items()):
            if deadline_s <= now_s:
                del self._deadlines[submission]
                self._on_expiry(submission)
        if self._deadlines:
            self._arm(min(self._deadlines.values()))
