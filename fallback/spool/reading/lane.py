"""One lane's records on their way out: read ahead, handed out, acknowledged."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from fallback.errors import SpoolClosed
from fallback.spool.format.record import OVERHEAD, Record


class Lane:
    """Hands out one lane's records in order, at least once each. For one consumer at a time.

    `take`, deliver, `ack`, again. A lane whose consumer waits for better times calls `release`:
    it then costs no memory, and goes on from its first record that is not acknowledged. What is
    not acknowledged when the process ends is handed out again after the next start.
    """

    def __init__(self, name: bytes, acked: int, on_want: Callable[[], None]) -> None:
        self.name = name
        self.acked = acked
        """Everything of the lane up to this sequence number is delivered."""
        self.pending = 0
        """Records that are not acknowledged, as far as they are known."""
        self.next_seq = 0
        """While `is_behind`: everything below is read ahead, handed out or delivered."""
        self.is_behind = False
        """There are, or may be, records that are only on the disk."""
        self.behind_ms: int | None = None
        """When the first record that is only on the disk was appended, where known."""
        self.is_active = False
        """A consumer has asked, and did not release."""
        self.served = 0
        """When the disk was last read for it, in turns."""
        self.ready: deque[Record] = deque()
        self.ready_bytes = 0
        self._next_bytes = 0
        self._taken: deque[Record] = deque()
        self._highest_taken = acked
        self._waiter: asyncio.Future[None] | None = None
        self._on_want = on_want
        self._on_ack: Callable[[Lane], None] | None = None
        self._is_closed = False

    async def take(self, *, max_records: int, max_bytes: int) -> tuple[Record, ...]:
        """Wait for records and hand them out: one at least, else within both limits.

        Bytes are those of the bodies. Raises `SpoolClosed`; a cancelled wait takes nothing.
        """
        while not (records := self.take_ready(max_records=max_records, max_bytes=max_bytes)):
            if self._is_closed:
                raise SpoolClosed("the spool is closed")
            if self._waiter is not None:
                raise RuntimeError("a lane has one consumer")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return records

    def take_ready(self, *, max_records: int, max_bytes: int) -> tuple[Record, ...]:
        """What `take` does without its wait; empty if nothing is read ahead now."""
        self.is_active = True
        if self.ready:
            return self._hand_out(max_records, max_bytes)
        if self.is_behind:
            self._on_want()
        return ()

    def ack(self, seq: int) -> None:
        """Everything handed out up to `seq` is delivered, and need not be kept.

        Raises `ValueError` for a sequence number that was never handed out.
        """
        if seq <= self.acked:
            return
        if seq > self._highest_taken:
            raise ValueError(f"seq={seq!r} was not handed out")
        self.acked = seq
        taken = self._taken
        before = len(taken)
        # Nearly every acknowledgement is of everything that was handed out.
        if seq == self._highest_taken:
            taken.clear()
        while taken and taken[0].seq <= seq:
            taken.popleft()
        self.pending -= before - len(taken)
        if self._on_ack is not None:
            self._on_ack(self)

    def release(self) -> None:
        """Forget what is read ahead, and go back to the first record not acknowledged."""
        self.is_active = False
        first = self.first_outstanding()
        if first is None:
            return
        # Read before `move_on` forgets it: the lane's age must not jump while nobody drains it.
        oldest_ms = self.oldest_ms()
        self.is_behind = True
        self.move_on(first)
        self.behind_ms = oldest_ms
        self.ready.clear()
        self.ready_bytes = 0
        self._taken.clear()
        # An acknowledgement of a batch that was given back is a fault from now on.
        self._highest_taken = self.acked

    def first_outstanding(self) -> int | None:
        """Where the lane's undelivered records begin; None: it has none."""
        if self._taken:
            return self._taken[0].seq
        if self.ready:
            return self.ready[0].seq
        return self.next_seq if self.is_behind else None

    def oldest_ms(self) -> int | None:
        """When the oldest undelivered record was appended; None: there is none, or it is unread."""
        if self._taken:
            return self._taken[0].appended_ms
        if self.ready:
            return self.ready[0].appended_ms
        return self.behind_ms if self.is_behind else None

    def is_starving(self) -> bool:
        """A consumer waits, and nothing is read ahead."""
        return self._waiter is not None and not self.ready

    def offer(self, record: Record, room: int) -> bool:
        """Read a record ahead. False: the lane holds `room` bytes already."""
        size = OVERHEAD + len(record.body)
        if not self._fits(size, room):
            return False
        self.ready.append(record)
        self.ready_bytes += size
        self._wake()
        return True

    def offer_run(self, records: Sequence[Record], room: int) -> bool:
        """Read ahead what is not below `next_seq`. False: not all of it; the rest is behind."""
        ready, size, next_seq = self.ready, self.ready_bytes, self.next_seq
        refused = None
        # Written out, for a backlog goes through here.
        for record in records:
            if record.seq < next_seq:
                continue
            more = OVERHEAD + len(record.body)
            if ready and size + more > room:
                refused = record
                break
            ready.append(record)
            size += more
        self.ready_bytes = size
        if ready:
            self._wake()
        if refused is not None:
            # From the first that did not fit, whatever smaller ones follow: order is kept.
            self.fall_behind(refused)
        return refused is None

    def wants(self, room: int) -> bool:
        """Whether to read from the disk for it: half of `room` is empty, and the next fits."""
        if not (self.is_behind and self.is_active):
            return False
        # Not before half is empty: each read costs a turn of the thread, whatever its size.
        return not self.ready or (
            self.ready_bytes * 2 <= room and self._fits(self._next_bytes, room)
        )

    def fall_behind(self, record: Record) -> None:
        """From this record on, the lane reads from the disk."""
        self.is_behind = True
        self.next_seq = record.seq
        self.behind_ms = record.appended_ms
        self._next_bytes = OVERHEAD + len(record.body)

    def move_on(self, seq: int) -> None:
        """Everything below `seq` is taken in; what comes there is not known."""
        self.next_seq = seq
        self.behind_ms = None
        self._next_bytes = 0

    def catch_up(self) -> None:
        """Nothing of the lane is left on the disk alone."""
        self.is_behind = False
        self.behind_ms = None
        # Exact again: records that were lost on the disk were counted until here.
        self.pending = len(self.ready) + len(self._taken)

    def listen(self, on_ack: Callable[[Lane], None]) -> None:
        """Whom to tell of acknowledgements."""
        self._on_ack = on_ack

    def close(self) -> None:
        """End the wait of the consumer."""
        self._is_closed = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(SpoolClosed("the spool is closed"))

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fits(self, size: int, room: int) -> bool:
        # An empty lane takes any size: a record larger than its share could never leave.
        return not self.ready or self.ready_bytes + size <= room

    def _hand_out(self, max_records: int, max_bytes: int) -> tuple[Record, ...]:
        ready = self.ready
        records = [ready.popleft()]
        size = len(records[0].body)
        # Written out, for a backlog goes through here.
        for _ in range(min(len(ready), max_records - 1)):
            record = ready.popleft()
            size += len(record.body)
            if size > max_bytes:
                size -= len(record.body)
                ready.appendleft(record)
                break
            records.append(record)
        self.ready_bytes -= size + OVERHEAD * len(records)
        self._taken += records
        self._highest_taken = records[-1].seq
        if self.is_behind:
            self._on_want()
        return tuple(records)
