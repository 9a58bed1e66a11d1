"""The loop of the zone processor: poll, count, tick, write out, commit.

Two rules make a restart harmless. *The log is the state*: a partition that is given to us is
read again from `rewind_ms` ago, so nothing needs to be stored between ticks. *Outputs are
idempotent*: a tick that is computed twice has the same bits, and every output takes it once.

Silence is not zero demand: while the end of the log cannot be asked for, no tick is computed;
prices grow old, which readers see, and the missed ticks are computed when the log is back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import stamina
import structlog

from pricing.drain import Drain
from pricing.metrics.processor import ProcessorMetrics
from pricing.processor.config import ProcessorConfig
from pricing.processor.dead_letter_queue import DeadLetterQueue
from pricing.processor.intake import Intake
from pricing.processor.output_queues import OutputQueue
from pricing.processor.progress import Barrier, SlotProgress
from pricing.surge.city import CityStates, CitySurge
from pricing.surge.ticks import CLOSING_MARGIN_MS, newest_closed_tick
from streaming.consuming.consumer import Committed, LogReader, Polled
from streaming.errors import BrokerError, BrokerRefused, MembershipLost

_log = structlog.get_logger(__name__)

_IDLE_POLL_S = 0.25
"""Longest wait for records: the loop also has ticks to fire and a stop to notice."""
_REFUSED_S = 1.0
_DRAIN_S = 1.5
"""With what closing takes when every server is frozen, the end stays within 10 s."""
_STILL_TICKS = 6
"""Without a tick for so long, a processor that holds partitions is not well."""
_AHEAD_MS = 60_000
"""A topic read this much further than the other one waits, so that memory stays bounded."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """Where ticks go: `history` gets every tick, `news` only those that are recent."""

    history: Sequence[OutputQueue]
    news: Sequence[OutputQueue]

    @property
    def lanes(self) -> list[OutputQueue]:
        return [*self.history, *self.news]


@dataclass(frozen=True, slots=True)
class _Computed:
    tick_ms: int
    offsets: Mapping[str, int]


class ZoneProcessor:
    """Prices the zones of every partition that the consumer group gives us.

    `surges(slot number)` makes the fresh state of the cities that live in a partition.
    The caller opens and closes the reader and the adapters behind the outputs.
    """

    def __init__(
        self,
        *,
        config: ProcessorConfig,
        reader: LogReader,
        intake: Intake,
        burial: DeadLetterQueue,
        surges: Callable[[int], Mapping[str, CitySurge]],
        outputs: Outputs,
        metrics: ProcessorMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._config = config
        self._reader = reader
        self._intake = intake
        self._burial = burial
        self._surges = surges
        self._outputs = outputs
        self._metrics = metrics
        self._now_ms = now_ms
        self._slots: dict[int, SlotProgress] = {}
        self._uncommitted: dict[int, deque[_Computed]] = {}
        self._opened_ms = 0
        self.last_tick_ms: int | None = None

    @property
    def slots(self) -> frozenset[int]:
        """The partitions that we price now."""
        return frozenset(self._slots)

    async def run(self, drain: Drain) -> None:
        """Work until the drain begins, then let the outputs finish what they can in 1.5 s.

        Raises `InstanceFenced` when another process runs under our instance id.
        """
        work = [lane.run() for lane in self._outputs.lanes]
        others = [asyncio.create_task(one) for one in (*work, self._burial.run())]
        others.append(asyncio.create_task(drain.wait()))
        loop = asyncio.create_task(self._loop())
        try:
            # A writer never ends by itself: one that does takes the process along.
            ended, _ = await asyncio.wait({loop, *others}, return_when=asyncio.FIRST_COMPLETED)
            loop.cancel()
            await asyncio.wait({loop})
            for task in ended:
                task.result()
            await self._drain()
        finally:
            for task in (loop, *others):
                task.cancel()
            await asyncio.gather(loop, *others, return_exceptions=True)

    def troubles(self) -> list[str]:
        """What speaks against calling this processor well: it holds partitions and stands still."""
        if not self._slots:
            return []
        since_ms = self._now_ms() - (self.last_tick_ms or self._opened_ms)
        if since_ms > _STILL_TICKS * self._config.window.tick_ms:
            return [f"no tick for {since_ms // 1000} s"]
        return []

    async def _loop(self) -> None:
        while True:
            await self._round()

    async def _round(self) -> None:
        polled = await self._poll()
        for number in polled.lost:
            self._slots.pop(number, None)
            self._uncommitted.pop(number, None)
            _log.info("partition lost", partition=number)
        for number in polled.opened:
            await self._open(number)
        now_ms = self._now_ms()
        for record in polled.records:
            if (slot := self._slots.get(record.partition)) is not None:
                self._intake.take(slot, record, now_ms)
        await self._ask_for_barriers()
        for number in list(self._slots):
            await self._advance(number)
        await self._commit_all()

    async def _poll(self) -> Polled:
        """News of the log; nothing while the broker refuses us, which an operator must mend."""
        try:
            return await self._reader.poll(self._poll_s())
        except BrokerRefused as error:
            _log.warning("the broker refuses the input", reason=error.reason)
            await asyncio.sleep(_REFUSED_S)
            return Polled()

    def _poll_s(self) -> float:
        """How long a poll may wait: not past the instant at which the next tick closes."""
        window = self._config.window
        now_ms = self._now_ms()
        next_tick_ms = self._closed_tick_ms(now_ms) + window.tick_ms
        next_close_ms = next_tick_ms + window.grace_ms + CLOSING_MARGIN_MS
        return min(_IDLE_POLL_S, max(next_close_ms - now_ms, 1) / 1000)

    def _closed_tick_ms(self, now_ms: int) -> int:
        window = self._config.window
        return newest_closed_tick(now_ms, tick_ms=window.tick_ms, grace_ms=window.grace_ms)

    async def _open(self, number: int) -> None:
        """Start a partition from nothing; its records follow from `rewind_ms` ago."""
        committed = await self._committed(number)
        if committed is None:
            return
        tick_ms = self._config.window.tick_ms
        now_ms = self._opened_ms = self._now_ms()
        written_ms = _written_until(committed.values(), now_ms)
        # Without a word of an earlier owner, the past is nobody's to write.
        since_ms = written_ms + tick_ms if written_ms else now_ms - self._config.news_ms
        publish_from_ms = max(-(-since_ms // tick_ms) * tick_ms, self._config.exact_from_ms(now_ms))
        self._slots[number] = SlotProgress(
            number=number,
            cities=self._surges(number),
            topics=self._reader.topics,
            tick_ms=tick_ms,
            grace_ms=self._config.window.grace_ms,
            next_tick_ms=publish_from_ms - tick_ms,
            publish_from_ms=publish_from_ms,
            handled={topic: entry.offset for topic, entry in committed.items()},
        )
        self._uncommitted[number] = deque()
        _log.info("partition opened", partition=number, written_until_ms=written_ms)

    async def _committed(self, number: int) -> Mapping[str, Committed] | None:
        """What an earlier owner had done; None where the partition is lost again already.

        Empty if Kafka does not say so for a while: not to know costs repeats, which every
        reader drops, and never a record.
        """
        try:
            async for attempt in stamina.retry_context(on=_may_answer, attempts=5, timeout=10):
                with attempt:
                    return await self._reader.committed(number)
        except MembershipLost:
            return None
        except BrokerError as error:
            _log.warning("commits cannot be read", partition=number, reason=error.reason)
        return {}

    async def _ask_for_barriers(self) -> None:
        """Ask where the log ends, for every partition that needs it, all at once."""
        closed_ms = self._closed_tick_ms(self._now_ms())
        wanting = [
            slot
            for number, slot in self._slots.items()
            if slot.wants_barrier(closed_ms, self._reader.positions(number))
        ]
        answers = await asyncio.gather(
            *(self._reader.end_offsets(slot.number) for slot in wanting), return_exceptions=True
        )
        for slot, answer in zip(wanting, answers, strict=True):
            if isinstance(answer, BrokerError):
                _log.warning("the input cannot be reached, no ticks", reason=answer.reason)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                slot.barrier = Barrier(closed_ms, answer)

    async def _advance(self, number: int) -> None:
        slot = self._slots[number]
        positions = self._reader.positions(number)
        self._balance(slot, positions)
        for tick_ms, states in slot.ticks(positions):
            self._write_out(tick_ms, states)
            self._uncommitted[number].append(_Computed(tick_ms, positions))
            await asyncio.sleep(0)  # a long catch-up must not hold up the outputs

    def _balance(self, slot: SlotProgress, positions: Mapping[str, int]) -> None:
        for topic in slot.topics:
            if slot.lead_ms(topic, positions) > _AHEAD_MS:
                self._reader.pause(topic, slot.number)
            else:
                self._reader.resume(topic, slot.number)

    def _write_out(self, tick_ms: int, states: Sequence[CityStates]) -> None:
        lag_ms = self._now_ms() - tick_ms
        is_news = lag_ms <= self._config.news_ms
        for city in states:
            for lane in self._outputs.lanes if is_news else self._outputs.history:
                lane.offer(city)
            self._metrics.ticked(city, lag_ms=lag_ms)
        self.last_tick_ms = max(tick_ms, self.last_tick_ms or 0)
        for lane in self._outputs.lanes:
            self._metrics.waits(lane.name, pending=lane.pending, dropped_total=lane.dropped_total)

    async def _commit_all(self) -> None:
        """All at once: a broker that does not answer costs one deadline, not one a partition."""
        await asyncio.gather(*(self._commit(number) for number in list(self._slots)))

    async def _commit(self, number: int) -> None:
        """Commit the newest tick that every output acknowledged, if there is a newer one."""
        if self._burial.is_waiting(number):
            return
        cities = self._slots[number].cities.keys()
        pending = [lane.oldest_pending_ms(cities) for lane in self._outputs.lanes]
        first_pending_ms = min((tick for tick in pending if tick is not None), default=None)
        computed = self._uncommitted[number]
        done: _Computed | None = None
        while computed and (first_pending_ms is None or computed[0].tick_ms < first_pending_ms):
            done = computed.popleft()
        if done is None:
            return
        try:
            await self._reader.commit(number, done.offsets, metadata=str(done.tick_ms))
        except BrokerError as error:
            computed.appendleft(done)
            _log.warning("commit failed, tried again later", reason=error.reason)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_S):
                for lane in self._outputs.lanes:
                    await lane.drain()
                await self._commit_all()
        except TimeoutError:
            _log.warning("stopped before every output had everything; it is computed again")


def _may_answer(error: Exception) -> bool:
    return isinstance(error, BrokerError) and not isinstance(error, MembershipLost)


def _written_until(committed: Collection[Committed], now_ms: int) -> int:
    """The last tick that every output has, by what the group keeps; 0: it does not say.

    A tick that lies ahead was written by a wrong clock, and would stop the prices until then.
    """
    ticks = [int(entry.metadata) for entry in committed if _is_number(entry.metadata)]
    ahead = [tick for tick in ticks if tick > now_ms]
    if ahead:
        _log.error("a commit lies in the future and is not believed", tick_ms=max(ahead))
    return max((tick for tick in ticks if tick <= now_ms), default=0)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
