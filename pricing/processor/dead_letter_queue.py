"""Unreadable records on their way to the dead letters, beside the loop that found them.

A dead-letter topic that is missing or slow must not hold up the prices, so the records wait
here, a bounded number of them. One that cannot be queued or sent stays in its input topic only,
and the log names its place there.
"""

from __future__ import annotations

import asyncio
from collections import Counter

import stamina
import structlog

from streaming.consuming.records import ConsumedRecord
from streaming.dead_letter import DeadLetters
from streaming.errors import InvalidMessage, StreamingError

_log = structlog.get_logger(__name__)

_CAPACITY = 1_000
_RETRY_FOR_S = 30.0


class DeadLetterQueue:
    """A bounded queue in front of the dead letters. `run` is its writer."""

    def __init__(self, dead_letters: DeadLetters) -> None:
        self._dead_letters = dead_letters
        self._queue: asyncio.Queue[tuple[ConsumedRecord, InvalidMessage]] = asyncio.Queue(_CAPACITY)
        self._waiting: Counter[int] = Counter()

    def offer(self, record: ConsumedRecord, error: InvalidMessage) -> None:
        """Take one record; returns at once."""
        try:
            self._queue.put_nowait((record, error))
        except asyncio.QueueFull:
            _log_not_sent(record, "too many unreadable records wait")
        else:
            self._waiting[record.partition] += 1

    def is_waiting(self, slot: int) -> bool:
        """Whether a record of this partition, of any topic, is not sent or given up yet."""
        return self._waiting[slot] > 0

    async def run(self) -> None:
        """Send what was offered, one record at a time; ends only when it is cancelled."""
        while True:
            record, error = await self._queue.get()
            await self._send(record, error)
            # Only now may the partition's offsets be committed past the record.
            self._waiting[record.partition] -= 1

    async def _send(self, record: ConsumedRecord, error: InvalidMessage) -> None:
        try:
            async for attempt in stamina.retry_context(
                on=StreamingError, attempts=None, timeout=_RETRY_FOR_S
            ):
                with attempt:
                    await self._dead_letters.send(record, error)
        except StreamingError as failure:
            _log_not_sent(record, str(failure))


def _log_not_sent(record: ConsumedRecord, error: str) -> None:
    _log.error(
        "dead letter not sent",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        error=error,
    )
