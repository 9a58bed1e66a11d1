"""What waits for its commit. Bounded; shared by the event loop and the writer thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence

from fallback.spool.writing.writer import Stamped


class Submission:
    """The entries of one append. They get neighbouring numbers and one answer."""

    __slots__ = ("answer", "entries", "is_durable", "size", "timeout_s")

    def __init__(
        self,
        entries: Sequence[Stamped],
        size: int,
        answer: asyncio.Future[int],
        timeout_s: float,
        *,
        is_durable: bool,
    ) -> None:
        self.entries = entries
        self.size = size
        """Bytes of their frames."""
        self.answer = answer
        """The first sequence number. Belongs to the event loop."""
        self.timeout_s = timeout_s
        self.is_durable = is_durable


class Pending:
    """A queue from which a submission is either taken or withdrawn, never both."""

    def __init__(self, *, records: int, size: int) -> None:
        self._records_at_most = records
        self._size_at_most = size
        self._queue: deque[Submission] = deque()
        self._records = 0
        self._size = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, submission: Submission) -> bool:
        """Queue it. False: there is no room. An empty queue takes anything."""
        count = len(submission.entries)
        with self._lock:
            if self._queue and (
                self._records + count > self._records_at_most
                or self._size + submission.size > self._size_at_most
            ):
                return False
            self._queue.append(submission)
            self._records += count
            self._size += submission.size
        return True

    def withdraw(self, submission: Submission) -> bool:
        """Take it back. False: it is no longer in the queue."""
        # Under the lock that `take` holds: either the writer has it, or the caller gets it back.
        with self._lock:
            try:
                self._queue.remove(submission)
            except ValueError:
                return False
            self._records -= len(submission.entries)
            self._size -= submission.size
        return True

    def take(self, room: int | None = None) -> list[Submission]:
        """Take from the front what fits into so many bytes together; None: everything."""
        taken = []
        with self._lock:
            # Not past one that does not fit: numbers are given in the order of the calls.
            while self._queue and (room is None or self._queue[0].size <= room):
                submission = self._queue.popleft()
                self._records -= len(submission.entries)
                self._size -= submission.size
                if room is not None:
                    room -= submission.size
                taken.append(submission)
        return taken
