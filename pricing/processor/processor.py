"""The loop of the zone processor: poll, count, tick, write out, commit.

Two rules make a restart harmless. *The log is the state*: a partition that is given to us is
read again from `rewind_ms` ago, so nothing needs to be stored between ticks. *Outputs are
idempotent*: a tick that is computed twice has the same bits, and every output takes it once.

Silence is not zero demand: while the end of the log cannot be asked for, no tick is computed;
prices grow old, which readers see, and the missed ticks are computed when the log is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import stamina
import structlog

from pricing.drain import Drain
from pricing.metrics.processor import ProcessorMetrics
from pricing.processor.commits import ComputedTick, UncommittedTicks, committed_tick_ms
from pricing.processor.config import ProcessorConfig
from pricing.processor.dead_letter_queue import DeadLetterQueue
from pricing.processor.intake import Intake
from pricing.processor.output_queues import Outputs
from pricing.processor.progress import Barrier, SlotProgress
from pricing.surge.city import CityStates, CitySurge
from pricing.surge.ticks import CLOSING_MARGIN_MS, newest_closed_tick
from streaming.consuming.consumer import LogReader
from streaming.consuming.records import Committed, Polled
from streaming.errors import BrokerError, BrokerRefused, MembershipLost

_log = structlog.get_logger(__name__)

_IDLE_POLL_S = 0.25
"""Longest wait for records: the loop also has ticks to compute and a stop to notice."""
_REFUSED_S = 1.0
_DRAIN_S = 1.5
"""With what closing takes when every server is frozen, the end stays within 10 s."""
_STALLED_TICKS = 6
"""A processor that holds partitions and computed no tick for as many is unwell."""
_AHEAD_MS = 60_000
"""A topic read this much further than the other one waits, so that memory stays bounded."""


class ZoneProcessor:
    """Prices the zones of every slot that the consumer group gives us.

    A slot is a partition number across the input topics; `surges(slot)` makes the fresh state
    of the cities that live in it. The caller opens and closes the reader and the adapters
    behind the outputs.
    """

    def __init__(
        self,
        *,
        config: ProcessorConfig,
        reader: LogReader,
        intake: Intake,
        dead_letters: DeadLetterQueue,
        surges: Callable[[int], Mapping[str, CitySurge]],
        outputs: Outputs,
        metrics: ProcessorMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        self._config = config
        self._reader = reader
        self._intake = intake
        self._dead_letters = dead_letters
        self._surges = surges
        self._outputs = outputs
        self._metrics = metrics
        self._now_ms = now_ms
        self._progress: dict[int, SlotProgress] = {}
        self._uncommitted: dict[int, UncommittedTicks] = {}
        self._opened_ms = 0
        self.last_tick_ms: int | None = None

    @property
    def slots(self) -> frozenset[int]:
        """The partitions that we price now."""
        return frozenset(self._progress)

    async def run(self, drain: Drain) -> None:
        """Work until the drain begins, then let the outputs finish what they can in 1.5 s.

        Raises:
            InstanceFenced: another process runs under our instance id.
        """
        writers = [queue.run() for queue in self._outputs.queues]
        others = [asyncio.create_task(job) for job in (*writers, self._dead_letters.run())]
        others.append(asyncio.create_task(drain.wait()))
        loop = asyncio.create_task(self._loop())
        try:
            # A writer never ends by itself: one that does takes the process along.
            ended, _ = await asyncio.wait({loop, *others}, return_when=asyncio.FIRST_COMPLETED)
            loop.cancel()
            await asyncio.wait({loop})
            for task in ended:
                task.result()
            # After the loop, before the writers: no tick is added while they empty their queues.
            await self._drain()
        finally:
            for task in (loop, *others):
                task.cancel()
            await asyncio.gather(loop, *others, return_exceptions=True)

    def troubles(self) -> list[str]:
        """Why this processor is degraded (it holds partitions and computes no tick); else empty."""
        if not self._progress:
            return []
        since_ms = self._now_ms() - (self.last_tick_ms or self._opened_ms)
        if since_ms > _STALLED_TICKS * self._config.window.tick_ms:
            return [f"no tick for {since_ms // 1000} s"]
        return []

    async def _loop(self) -> None:
        while True:
            await self._round()

    async def _round(self) -> None:
        polled = await self._poll()
        # Lost before opened: a slot in both was taken away and given back, and starts anew.
        for slot in polled.lost:
            self._progress.pop(slot, None)
            self._uncommitted.pop(slot, None)
            _log.info("partition lost", partition=slot)
        for slot in polled.opened:
            await self._open(slot)
        now_ms = self._now_ms()
        for record in polled.records:
            if (progress := self._progress.get(record.partition)) is not None:
                self._intake.take(progress, record, now_ms)
        await self._ask_for_barriers()
        for slot in list(self._progress):
            await self._advance(slot)
        await self._commit_all()

    async def _poll(self) -> Polled:
        """News of the log; nothing while the broker refuses us, which an operator must mend."""
        try:
            return await self._reader.poll(self._poll_s())
        except BrokerRefused as error:
            _log.warning("poll of the input refused", error=error.reason)
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

    async def _open(self, slot: int) -> None:
        """Start a partition from nothing; its records follow from `rewind_ms` ago."""
        committed = await self._committed(slot)
        if committed is None:
            return
        now_ms = self._opened_ms = self._now_ms()
        written_ms = committed_tick_ms(committed.values(), now_ms)
        publish_from_ms = self._config.publish_from_ms(written_ms, now_ms)
        window = self._config.window
        self._progress[slot] = SlotProgress(
            slot=slot,
            cities=self._surges(slot),
            topics=self._reader.topics,
            tick_ms=window.tick_ms,
            grace_ms=window.grace_ms,
            # One tick earlier: changes at the first published tick are found against it.
            next_tick_ms=publish_from_ms - window.tick_ms,
            publish_from_ms=publish_from_ms,
            handled={topic: entry.offset for topic, entry in committed.items()},
        )
        self._uncommitted[slot] = UncommittedTicks()
        _log.info("partition opened", partition=slot, written_until_ms=written_ms)

    async def _committed(self, slot: int) -> Mapping[str, Committed] | None:
        """What an earlier owner had done; None where the partition is lost again already.

        Empty if Kafka does not say so for a while: not to know costs repeats, which every
        reader drops, and never a record.
        """
        try:
            async for attempt in stamina.retry_context(on=_may_answer, attempts=5, timeout=10):
                with attempt:
                    return await self._reader.committed(slot)
        except MembershipLost:
            return None
        except BrokerError as error:
            _log.warning("committed offsets not read", partition=slot, error=error.reason)
        return {}

    async def _ask_for_barriers(self) -> None:
        """Ask where the log ends, for every partition that needs it, all at once."""
        # Before the question: the end that Kafka names then lies behind every record of the tick.
        closed_ms = self._closed_tick_ms(self._now_ms())
        wanting = [
            progress
            for slot, progress in self._progress.items()
            if progress.wants_barrier(closed_ms, self._reader.positions(slot))
        ]
        answers = await asyncio.gather(
            *(self._reader.end_offsets(progress.slot) for progress in wanting),
            return_exceptions=True,
        )
        for progress, answer in zip(wanting, answers, strict=True):
            if isinstance(answer, BrokerError):
                _log.warning("end of the input not read, ticks wait", error=answer.reason)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                progress.barrier = Barrier(closed_ms, answer)

    async def _advance(self, slot: int) -> None:
        progress = self._progress[slot]
        positions = self._reader.positions(slot)
        self._balance(progress, positions)
        for tick_ms, states in progress.ticks(positions):
            self._write_out(tick_ms, states)
            self._uncommitted[slot].add(ComputedTick(tick_ms, positions))
            await asyncio.sleep(0)  # a long catch-up must not hold up the outputs

    def _balance(self, progress: SlotProgress, positions: Mapping[str, int]) -> None:
        for topic in progress.topics:
            if progress.lead_ms(topic, positions) > _AHEAD_MS:
                self._reader.pause(topic, progress.slot)
            else:
                self._reader.resume(topic, progress.slot)

    def _write_out(self, tick_ms: int, states: Sequence[CityStates]) -> None:
        lag_ms = self._now_ms() - tick_ms
        for city in states:
            self._outputs.offer(city, is_news=lag_ms <= self._config.news_ms)
            self._metrics.ticked(city, lag_ms=lag_ms)
        self.last_tick_ms = max(tick_ms, self.last_tick_ms or 0)
        for queue in self._outputs.queues:
            self._metrics.waits(
                queue.name, pending=queue.pending, dropped_total=queue.dropped_total
            )

    async def _commit_all(self) -> None:
        """All at once: a broker that does not answer costs one deadline, not one a partition."""
        await asyncio.gather(*(self._commit(slot) for slot in list(self._progress)))

    async def _commit(self, slot: int) -> None:
        """Commit the newest tick that every output acknowledged, if there is a newer one."""
        # A commit would pass the unreadable record by, and a restart would not find it again.
        if self._dead_letters.is_waiting(slot):
            return
        city_ids = self._progress[slot].cities.keys()
        uncommitted = self._uncommitted[slot]
        written = uncommitted.take_written(self._outputs.oldest_pending_ms(city_ids))
        if written is None:
            return
        try:
            await self._reader.commit(slot, written.offsets, metadata=str(written.tick_ms))
        except BrokerError as error:
            uncommitted.put_back(written)
            _log.warning("commit failed", partition=slot, error=error.reason)

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(_DRAIN_S):
                await self._outputs.drain()
                await self._commit_all()
        except TimeoutError:
            # What was not written is not committed either: the next owner computes it again.
            _log.warning("stopped with ticks unwritten")


def _may_answer(error: Exception) -> bool:
    return isinstance(error, BrokerError) and not isinstance(error, MembershipLost)
