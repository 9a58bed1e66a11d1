"""Drains one lane: take, send, acknowledge; wait, split or dead-letter where that fails."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from fallback.clock import Monotonic
from fallback.pump.batching_window import BatchingWindow
from fallback.pump.config import PumpConfig
from fallback.pump.gate import Gate, Wait
from fallback.pump.pace import Pace
from fallback.pump.sink import NeedsOperator, Poison, Sink, SinkFailure
from fallback.spool import Lane, Record

_MINUTE_S = 60.0

Piece = tuple[Record, ...]


class PumpCore(Protocol):
    """What the lanes of a pump share."""

    config: PumpConfig
    sink: Sink
    gate: Gate
    pace: Pace
    batching_window: BatchingWindow
    now_s: Monotonic

    def batch_bytes(self) -> int:
        """How large a lane's batch may be now."""
        ...

    async def gate_change(self, timeout_s: float) -> None:
        """Wait until the gate changed, or so long."""
        ...

    def on_sent(self, lane: Lane, piece: Piece, duration_s: float) -> None: ...

    def on_failure(self, lane: Lane, piece: Piece, failure: SinkFailure) -> None: ...

    async def dead_letter(self, lane: Lane, record: Record, failure: Poison, attempts: int) -> None:
        """Put a record aside. Raises `NeedsOperator` where it cannot be kept."""
        ...


class LanePump:
    """One lane's task. What is not acknowledged when it ends is sent again by the next one."""

    def __init__(self, core: PumpCore, lane: Lane) -> None:
        self._core = core
        self._lane = lane
        self._group = core.sink.group_of(lane.name)
        self._attempts = 0
        """How often the piece at hand was sent."""
        self._refusals = 0
        """How often in a row the piece at hand was refused for what it holds."""
        self._dead_lettered: deque[float] = deque()
        """When the last dead letters were made."""

    async def run(self) -> None:
        """Drain until cancelled; raises `SpoolClosed` when the spool is closed."""
        core, lane = self._core, self._lane
        while True:
            await self._wait_for_leave()
            records = await lane.take(
                max_records=core.config.batch_records, max_bytes=core.batch_bytes()
            )
            if not await self._deliver(deque([records])):
                lane.release()

    async def _wait_for_leave(self) -> None:
        """Wait before anything is read: a lane that may not send holds no memory."""
        core = self._core
        while True:
            leave = core.gate.peek(self._lane.name, self._group, core.now_s())
            if not isinstance(leave, Wait):
                return
            await core.gate_change(leave.seconds)

    async def _deliver(self, pieces: deque[Piece]) -> bool:
        """Send the pieces, in order. False: not now; what is left has to be taken again."""
        core = self._core
        self._attempts = self._refusals = 0
        while pieces:
            await self._keep_pace(pieces[0])
            # Asked after the wait and used at once: what was true before it may be over.
            leave = core.gate.ask(self._lane.name, self._group, core.now_s())
            if isinstance(leave, Wait):
                return False
            piece = pieces.popleft()
            if len(piece) > leave.max_records:
                # In an outage little is risked: a probe whose outcome is unknown may repeat it.
                pieces.appendleft(piece[leave.max_records :])
                piece = piece[: leave.max_records]
            failure = await self._send(piece)
            if failure is None:
                self._attempts = self._refusals = 0
            elif not await self._cope(piece, failure, pieces):
                return False
        return True

    async def _keep_pace(self, piece: Piece) -> None:
        core = self._core
        if len(piece) < core.config.batch_records:
            await core.batching_window.join()
        wait_s = core.pace.reserve(len(piece), core.now_s())
        # Also without a wait: lanes that always have something to send must not take the loop.
        await asyncio.sleep(wait_s)

    async def _send(self, piece: Piece) -> SinkFailure | None:
        core, lane = self._core, self._lane
        began_s = core.now_s()
        core.gate.started(lane.name, began_s)
        self._attempts += 1
        try:
            await core.sink.send(lane.name, [record.body for record in piece])
        except SinkFailure as failure:
            core.on_failure(lane, piece, failure)
            return failure
        finally:
            core.gate.ended(lane.name)
        # After the sink has it and before anybody hears of it: a crash in between repeats it.
        lane.ack(piece[-1].seq)
        core.on_sent(lane, piece, core.now_s() - began_s)
        return None

    async def _cope(self, piece: Piece, failure: SinkFailure, pieces: deque[Piece]) -> bool:
        """Decide about a piece that was not delivered. False: try again later."""
        core = self._core
        if not isinstance(failure, Poison):
            self._refusals = 0
            core.gate.failed(self._lane.name, failure, core.now_s())
            pieces.appendleft(piece)
            return not isinstance(core.gate.peek(self._lane.name, self._group, core.now_s()), Wait)
        self._refusals += 1
        if self._refusals < failure.certain_after:
            await asyncio.sleep(core.config.retry_s * 2**self._refusals)
            pieces.appendleft(piece)
        elif len(piece) > 1:
            # Halves are tried once each; only a single record gets all its chances again.
            half = len(piece) // 2
            pieces.extendleft((piece[half:], piece[:half]))
            self._refusals = 0 if half == 1 else failure.certain_after - 1
            self._attempts = 0
        else:
            return await self._dead_letter(piece[0], failure)
        return True

    async def _dead_letter(self, record: Record, failure: Poison) -> bool:
        core, lane = self._core, self._lane
        try:
            # Before it is kept: a fault of ours would else empty a topic into the dead letters.
            self._check_limit()
            await core.dead_letter(lane, record, failure, self._attempts)
        except NeedsOperator as trouble:
            core.gate.failed(lane.name, trouble, core.now_s())
            return False
        self._dead_lettered.append(core.now_s())
        # Only once the letter is durable: until then the spool is the only copy.
        lane.ack(record.seq)
        self._attempts = self._refusals = 0
        return True

    def _check_limit(self) -> None:
        horizon_s = self._core.now_s() - _MINUTE_S
        while self._dead_lettered and self._dead_lettered[0] < horizon_s:
            self._dead_lettered.popleft()
        if len(self._dead_lettered) >= self._core.config.dead_letters_per_minute:
            raise NeedsOperator("too many dead letters in a minute", group=self._group)


def bodies_size(records: Sequence[Record]) -> int:
    """Bytes of the records' bodies."""
    return sum(len(record.body) for record in records)
