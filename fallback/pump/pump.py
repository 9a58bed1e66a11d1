"""The pump: drains a spool into a sink, every lane for itself, and says how that goes."""

from __future__ import annotations

import asyncio
import random as randomness
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import structlog

from fallback.clock import Monotonic, monotonic_s
from fallback.errors import SpoolClosed
from fallback.observer import notify
from fallback.pump.alarms import AlarmWatch
from fallback.pump.batching_window import BatchingWindow
from fallback.pump.config import PumpConfig
from fallback.pump.delivery_waiters import DeliveryWaiters
from fallback.pump.gate import Gate
from fallback.pump.lane_pump import LanePump, Piece, bodies_size
from fallback.pump.pace import Pace
from fallback.pump.sink import Poison, Sink, SinkFailure
from fallback.pump.status import PumpObserver, PumpState, PumpStats, next_state
from fallback.spool import Lane, Record, Spool

_log = structlog.get_logger(__name__)

_LOOK_S = 0.25

KeepDeadLetter = Callable[[Record, Poison, int], Awaitable[None]]
"""Keeps a dead letter: the record, why, after how many attempts. Raises `NeedsOperator`."""


class Pump:
    """Delivers what the spool holds, for as long as the block lasts.

    Within a lane the order is the spool's; a record is acknowledged to the spool once the sink
    has it, so that it is sent at least once. Nothing that the sink does ends the pump. Pumps
    that share a `pace` share its records a second.
    """

    def __init__(
        self,
        spool: Spool,
        sink: Sink,
        *,
        dead_letter: KeepDeadLetter,
        config: PumpConfig | None = None,
        observers: Sequence[PumpObserver] = (),
        pace: Pace | None = None,
        now_s: Monotonic = monotonic_s,
        random: Callable[[], float] = randomness.random,
    ) -> None:
        self.config = config or PumpConfig()
        self.sink = sink
        self.now_s = now_s
        self.gate = Gate(self.config, random)
        self.pace = pace or Pace(self.config.records_per_s, slow_start_s=self.config.slow_start_s)
        self.batching_window = BatchingWindow(self.config.batching_window_ms / 1000, now_s)
        self.delivery_waiters = DeliveryWaiters()
        self._spool = spool
        self._dead_letter = dead_letter
        self._random = random
        self._observers = tuple(observers)
        self._alarms = AlarmWatch(self.gate, sink, self.config, self._notify_alarm)
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes = 0
        self._sent = self._resent = self._dead_lettered = 0
        self._state = PumpState.HEALTHY
        self._out_since_s: float | None = None

    async def __aenter__(self) -> Self:
        self._start(self._find_lanes(), "pump")
        self._start(self._look(), "pump-state")
        self._start(self._watch_alarms(), "pump-alarms")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def state(self) -> PumpState:
        """How well events flow."""
        return self._state

    def stats(self) -> PumpStats:
        """The figures now."""
        return PumpStats(
            state=self._state,
            in_flight=len(self.gate.in_flight),
            sent=self._sent,
            resent=self._resent,
            dead_lettered=self._dead_lettered,
            rate=self.pace.rate(self.now_s()),
            alarms=tuple(self._alarms.alarms),
        )

    async def drain(self, timeout_s: float, *, through_outage: bool = False) -> bool:
        """Wait until everything is delivered, or so long, or an outage; whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._spool.stats().records and (through_outage or not self.gate.is_out):
                    await self.gate_change(_LOOK_S)
        return not self._spool.stats().records

    def batch_bytes(self) -> int:
        """How large a lane's batch may be now, for all of them together to stay bounded."""
        share = self.config.in_flight_bytes // max(1, self._lanes)
        return max(1, min(self.config.batch_bytes, share))

    async def gate_change(self, timeout_s: float) -> None:
        """Wait until something was delivered or failed, or so long."""
        # Each change ends this event and begins another: nobody can miss one by clearing it.
        changed = self._changed
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await changed.wait()

    def on_sent(self, lane: Lane, piece: Piece, duration_s: float) -> None:
        """Take note of a delivery."""
        self._sent += len(piece)
        # First of all: somebody waits with a deadline of some 50 ms for the answer.
        self.delivery_waiters.settle(lane.name, piece[-1].seq, is_delivered=True)
        now_s = self.now_s()
        outage_s = self.gate.succeeded(lane.name, self.sink.group_of(lane.name), now_s)
        if outage_s is not None:
            self.pace.slow_down(now_s, outage_s=outage_s, jitter=self._random())
            _log.info("delivery works again", outage_s=round(outage_s, 1))
        self._notify()
        if self._observers:
            size = bodies_size(piece)
            for observer in self._observers:
                notify(observer.on_sent, len(piece), size, duration_s)

    def on_failure(self, lane: Lane, piece: Piece, failure: SinkFailure) -> None:
        """Take note of a failure."""
        if failure.may_be_delivered:
            self._resent += len(piece)
        log = _log.warning if self.gate.why_failing(lane.name) is None else _log.debug
        log(
            "batch not delivered",
            lane=lane.name.decode(errors="replace"),
            records=len(piece),
            failure=type(failure).__name__,
            reason=failure.reason,
            code=failure.code,
        )
        self._alarms.note(failure, self.sink.group_of(lane.name), self.now_s())
        self._notify()
        for observer in self._observers:
            notify(observer.on_failure, failure, len(piece))

    async def dead_letter(self, lane: Lane, record: Record, failure: Poison, attempts: int) -> None:
        """Put a record aside for good."""
        await self._dead_letter(record, failure, attempts)
        self._dead_lettered += 1
        self.delivery_waiters.settle(lane.name, record.seq, is_delivered=False)
        for observer in self._observers:
            notify(observer.on_dead_letter, failure)

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, SpoolClosed):
            _log.error("a part of the pump ended", part=task.get_name(), exc_info=error)

    async def _find_lanes(self) -> None:
        async for lane in self._spool.lanes():
            self._lanes += 1
            self._start(self._run_lane(lane), f"pump {lane.name.decode(errors='replace')}")

    async def _run_lane(self, lane: Lane) -> None:
        while True:
            try:
                await LanePump(self, lane).run()
            except SpoolClosed:
                return
            except Exception:  # noqa: BLE001 - a fault of ours must not end the delivery of a lane
                _log.exception("lane begins again", lane=lane.name.decode(errors="replace"))
                lane.release()
                await asyncio.sleep(self.config.retry_most_s)

    async def _look(self) -> None:
        while True:
            now_s = self.now_s()
            if self.gate.tick(now_s):
                self._out_since_s = now_s
                _log.warning("nothing is delivered any more")
                self._notify()
            self._turn_to(self._next_state(now_s))
            await asyncio.sleep(_LOOK_S)

    async def _watch_alarms(self) -> None:
        while True:
            try:
                await self._alarms.look(self.now_s())
            except Exception:  # noqa: BLE001 - a fault of the sink's question must not end the alarms
                _log.exception("looking for alarms failed")
            await asyncio.sleep(_LOOK_S)

    def _next_state(self, now_s: float) -> PumpState:
        stats, gate = self._spool.stats(), self.gate
        stuck = gate.stuck_lanes(now_s, self.config.stall_s)
        return next_state(
            stats.state,
            is_stuck=gate.is_out or bool(gate.parked or stuck),
            lag_ms=stats.oldest_age_ms if stats.records else None,
            behind_ms=self.config.behind_ms,
        )

    def _turn_to(self, state: PumpState) -> None:
        old, self._state = self._state, state
        if old is state:
            return
        _log.warning("delivery changed", old=old.value, new=state.value)
        for observer in self._observers:
            notify(observer.on_state_change, old, state)
        if state is PumpState.HEALTHY and self._out_since_s is not None:
            for observer in self._observers:
                notify(observer.on_recovered, self.now_s() - self._out_since_s)
            self._out_since_s = None

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _notify_alarm(self, *facts: object) -> None:
        for observer in self._observers:
            notify(observer.on_alarm, *facts)
