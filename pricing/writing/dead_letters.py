"""Dead letters of the write path: kept on the disk, copied to Kafka, put back when asked.

A record that Kafka refuses goes to the box on this machine first. A copy goes to `<topic>.dlq`
through the spool, so that it gets there whatever Kafka does now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from fallback.errors import DeadLettersFull, SpoolError
from fallback.observer import notify
from fallback.pump.dead_letters import DeadLetterBox, DeadLetterStats, Letter, Strategy
from fallback.pump.sink import NeedsOperator, Poison
from fallback.spool import Durability, Entry, Record, Spool
from pricing.writing.spool_lanes import lane_of, place_of
from streaming.dead_letter import Place, dlq_headers
from streaming.events.codec import WireRecord
from streaming.events.event_types import rfc3339
from streaming.events.packing import UnreadableRecord, pack, unpack
from streaming.topics import DLQ_SUFFIX, dlq_of

_log = structlog.get_logger(__name__)

STRATEGIES: Mapping[str, Strategy] = {
    "2": Strategy(max_retries=3),  # corrupt: a byte may have flipped on the way
    "-1": Strategy(max_retries=3),  # the broker did not say why
    "32": Strategy(max_retries=3),  # its time stamp: each attempt gets a new one
}
"""By Kafka's code; what is not here waits for a person: too large, an invalid record, no record."""

_APPEND_S = 2.0
_PUT_BACK_EVERY_S = 1.0
_LOOK_EVERY_S = 300.0
_BATCH = 20
_KEEP_NOTES_MS = 7 * 86_400_000


class DeadLetterRecorder:
    """Keeps what the pump cannot deliver, and puts back what somebody wants to be tried again."""

    def __init__(
        self,
        box: DeadLetterBox,
        spool: Spool,
        *,
        now_ms: Callable[[], int],
        strategies: Mapping[str, Strategy] = STRATEGIES,
    ) -> None:
        self._box = box
        self._spool = spool
        self._now_ms = now_ms
        self._strategies = strategies

    async def dead_letter(self, record: Record, failure: Poison, attempts: int) -> None:
        """Keep a record aside. Raises `NeedsOperator` where it cannot be kept."""
        lane = record.lane.decode(errors="replace")
        try:
            letter = await asyncio.to_thread(
                self._box.add,
                lane=lane,
                seq=record.seq,
                body=record.body,
                error_class=failure.code,
                reason=failure.reason,
                attempts=attempts,
                appended_ms=record.appended_ms,
            )
        except DeadLettersFull as error:
            raise NeedsOperator("the dead letters are full", group=None) from error
        except OSError as error:
            raise NeedsOperator("the disk takes no dead letter", group=None) from error
        _log.error(
            "record dead-lettered",
            lane=lane,
            id=letter.id,
            reason=failure.reason,
            code=failure.code,
        )
        await self._copy(letter)

    async def run(self, on_round: Callable[[float], None]) -> None:
        """Put back what is marked, and mark what is due; until cancelled.

        `on_round` gets the seconds of each round in which letters were put back.
        """
        next_look_s = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                if loop.time() >= next_look_s:
                    next_look_s = loop.time() + _LOOK_EVERY_S
                    await asyncio.to_thread(self._box.ask_due, self._strategies, _BATCH)
                    await asyncio.to_thread(self._box.forget_retried, _KEEP_NOTES_MS)
                began_s = loop.time()
                if await self._put_back():
                    notify(on_round, loop.time() - began_s)
            except (OSError, SpoolError) as error:
                _log.warning("dead letters not put back", error=repr(error))
            await asyncio.sleep(_PUT_BACK_EVERY_S)

    async def stats(self) -> DeadLetterStats:
        """What the box holds."""
        return await asyncio.to_thread(self._box.stats)

    async def _put_back(self) -> int:
        letters = await asyncio.to_thread(self._box.to_put_back)
        for letter in letters:
            entry = Entry(letter.lane.encode(), letter.body)
            await self._spool.append([entry], durability=Durability.DURABLE, timeout_s=_APPEND_S)
            # A crash before the next line puts it back twice: the same id, so a repeat.
            await asyncio.to_thread(self._box.was_put_back, letter)
            _log.info("dead letter put back", lane=letter.lane, id=letter.id)
        return len(letters)

    async def _copy(self, letter: Letter) -> None:
        entry = dlq_entry(letter, self._now_ms())
        if entry is None:
            return
        try:
            await self._spool.append([entry], durability=Durability.DURABLE, timeout_s=_APPEND_S)
        except SpoolError as error:
            _log.warning("dead letter not copied to kafka", id=letter.id, error=repr(error))


def dlq_entry(letter: Letter, now_ms: int) -> Entry | None:
    """What goes to the dead-letter topic. None: it came from there, or is no record. Pure."""
    try:
        topic, partition = place_of(letter.lane.encode())
        record = unpack(letter.body)
    except (ValueError, UnreadableRecord):
        return None
    if topic.endswith(DLQ_SUFFIX):
        return None
    about = dlq_headers(
        Place(topic, partition, -1),
        reason="refused_by_broker",
        detail=letter.reason,
        attempts=letter.attempts,
        now_ms=now_ms,
    )
    about += [
        # It never got an offset: this is its place in the spool of the process that had it.
        ("dlq_spool_seq", str(letter.seq).encode()),
        ("dlq_error_class", letter.error_class.encode()),
    ]
    copy = WireRecord(record.key, record.value, (*about, *record.headers))
    return Entry(lane_of(dlq_of(topic), partition), pack(copy))


def dead_letter_json(letter: Letter) -> dict[str, Any]:
    """A dead letter for people, by HTTP or at the command line.

    Without what the event holds: that is personal data.
    """
    return {
        "id": letter.id,
        "lane": letter.lane,
        "seq": letter.seq,
        "error_class": letter.error_class,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "retries": letter.retries,
        "bytes": len(letter.body),
        "appended_at": rfc3339(letter.appended_ms),
        "buried_at": rfc3339(letter.buried_ms),
    }
