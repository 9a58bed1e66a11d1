"""The read ladder: Redis, then Postgres, then this process's last known state, then the
default fare. Every known zone gets an answer, whatever is down.

No rung is tried twice: the next rung is the retry. A miss is no failure, but goes on to the
next rung too. What a rung gave is kept in the local table with its true age; nothing is ever
written back to Redis, and a default fare is written nowhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fallback.clock import Monotonic, monotonic_s
from fallback.errors import BulkheadFullError, CircuitOpenError, DeadlineExceeded, RampingUp
from fallback.guards.bulkhead import Bulkhead
from fallback.guards.deadline import request_deadline
from fallback.mode.level import Level
from pricing.errors import DependencyTimeout
from pricing.model import Source, Zone
from pricing.reading.answer import Answer, FallbackReason, Via, default_answer, state_answer
from pricing.reading.guarded_store import Rung, StoreReading
from pricing.reading.last_known import Found, LastKnownZones, LiveState
from pricing.reading.policy import OLDEST_MS, ReadPolicy, level_of


class Miss(NamedTuple):
    """No store had a zone; Postgres was the last one asked."""

    reason: FallbackReason
    begun_s: float
    """Monotonic, when the first store was asked."""


class Ladder:
    """Answers the price of every zone that it is asked for. One event loop.

    `policy` is asked once a read. `now_ms` is the clock that ages are told by, epoch ms;
    `now_s`, monotonic, times memo and deadlines.
    """

    def __init__(
        self,
        *,
        cache: Rung,
        store: Rung,
        last_known: LastKnownZones,
        policy: Callable[[], ReadPolicy],
        tick_ms: int,
        now_ms: Callable[[], int],
        now_s: Monotonic = monotonic_s,
    ) -> None:
        if tick_ms < 1:
            raise ValueError(f"tick_ms={tick_ms!r} must be at least 1")
        self.tick_ms = tick_ms
        """Distance of two states of a zone: the measure of freshness."""
        self.bulkhead = Bulkhead("price_reads", policy().reads_in_flight)
        self._rungs = (cache, store)
        self._last_known = last_known
        self._policy = policy
        self._now_ms = now_ms
        self._now_s = now_s
        self._misses: dict[str, Miss] = {}

    @property
    def known_states(self) -> int:
        """How many zones the stale rung holds a state of."""
        return len(self._last_known)

    def now_ms(self) -> int:
        """By the clock that ages are told by, epoch ms."""
        return self._now_ms()

    def memo_since_s(self, policy: ReadPolicy) -> float:
        """What a store said then (monotonic) or later still answers; infinite without a memo."""
        return self._now_s() - policy.memo_ms / 1000 if policy.memo_ms else float("inf")

    def remembered(self, zone_id: str, since_s: float, now_ms: int) -> Found | None:
        """What the memo has of a zone, without waiting for anything; None: `find` must ask."""
        found = self._last_known.recent(zone_id, since_s)
        # A store may hold a state for days after the processor has died.
        if found is None or found.state.window_end_ms < now_ms - OLDEST_MS:
            return None
        return found

    async def price(self, zone: Zone, policy: ReadPolicy | None = None) -> Answer:
        return (await self.prices((zone,), policy))[0]

    async def prices(self, zones: Sequence[Zone], policy: ReadPolicy | None = None) -> list[Answer]:
        """One answer per zone, in the order given.

        `policy` is what held when the request came in; None: what holds now.
        """
        policy = policy or self._policy()
        read = await self.find(zones, policy)
        now_ms = self._now_ms()
        return [self.answer(zone, read, policy, now_ms) for zone in zones]

    async def find(
        self, zones: Sequence[Zone], policy: ReadPolicy, *, past_memo: bool = False
    ) -> LadderRead:
        """Look the zones up; each rung is read once, for all still open.

        `past_memo`: the caller has asked `remembered` for each of them, in vain.
        """
        read = LadderRead([zone.zone_id for zone in zones], policy.level)
        since_s = self.memo_since_s(policy)
        if not past_memo:
            self._recall(read, since_s)
        self._recall_misses(read, since_s)
        if read.open:
            await self._read_stores(read, policy)
        if read.open:
            # Only now: how old a last known state may be depends on what this read has met.
            level = level_of(cache_failed=read.cache_failed, store_failed=read.store_failed)
            oldest_ms = self._now_ms() - policy.stale_limit_ms(level)
            read.take_last_known(self._last_known, oldest_ms)
        return read

    def answer(self, zone: Zone, read: LadderRead, policy: ReadPolicy, now_ms: int) -> Answer:
        """What a read says of a zone; the default fare where it found nothing."""
        found = read.found.get(zone.zone_id)
        if found is not None:
            return self.answer_of(zone, found, policy, now_ms)
        reason = read.reason(zone.zone_id, FallbackReason.ALL_SYSTEMS_FAILED)
        return default_answer(zone, reason=reason, now_ms=now_ms)

    def answer_of(self, zone: Zone, found: Found, policy: ReadPolicy, now_ms: int) -> Answer:
        """What was found as an answer, with what the mode leaves of its surge."""
        state = found.state
        return state_answer(
            zone,
            policy.surge.apply(state, max(0, now_ms - state.window_end_ms)),
            source=found.source,
            reason=found.reason,
            now_ms=now_ms,
            tick_ms=self.tick_ms,
            via=found.via,
        )

    def _recall(self, read: LadderRead, since_s: float) -> None:
        """Answer from the memo what stores said since then."""
        now_ms = self._now_ms()
        for zone_id in tuple(read.open):
            found = self.remembered(zone_id, since_s, now_ms)
            if found is not None:
                read.settle(zone_id, found)

    def _recall_misses(self, read: LadderRead, since_s: float) -> None:
        """Ask no store again for what they said, since then, that they had not.

        A state that came meanwhile, by the refresh or the topic, was found by `_recall`.
        """
        if self._misses:
            for zone_id in read.open:
                miss = self._misses.get(zone_id)
                if miss is not None and miss.begun_s >= since_s:
                    read.recall_miss(zone_id, miss)

    async def _read_stores(self, read: LadderRead, policy: ReadPolicy) -> None:
        self.bulkhead.limit = policy.reads_in_flight
        try:
            # One deadline around both rungs: a slow first one leaves the second less time, and the
            # client never waits for the sum.
            with self.bulkhead, request_deadline(policy.deadline_ms / 1000, self._now_s):
                for rung in self._rungs:
                    if unasked := read.unasked:
                        self._take(rung.source, read, unasked, await rung.read(unasked))
        except BulkheadFullError:
            read.refuse()
        else:
            if read.open:
                self._note_misses(read)

    def _take(
        self, source: Source, read: LadderRead, asked: Sequence[str], reading: StoreReading
    ) -> None:
        """Keep what a store gave, and settle what is not too old to be told.

        Of what others asked for in the same fetch, they keep theirs.
        """
        oldest_ms = self._now_ms() - OLDEST_MS
        # Before `note`: of Postgres' states this is why the read did not end at Redis.
        reason, states = read.first_reason, reading.states
        live = LiveState(source, reason, reading.begun_s)
        via = Via.FLIGHT if reading.is_joined else Via.READ
        for zone_id in asked:
            state = states.get(zone_id)
            if state is not None:
                self._last_known.keep((state,), live)
                # Told is what this store said: what came meanwhile is for the next reader. It may
                # be of another origin, which would belie the answer's source.
                if state.window_end_ms >= oldest_ms:
                    read.settle(zone_id, Found(state, source, reason, via))
        read.note(source, reading)

    def _note_misses(self, read: LadderRead) -> None:
        """Remember what the last store that could be asked did not have."""
        # A store that failed said nothing: the next read must ask again.
        if read.store_failed or read.first_reason is None:
            return
        miss = Miss(read.first_reason, read.begun_s)
        for zone_id in read.unasked:
            # At most one a zone: only known zones are asked for.
            self._misses[zone_id] = miss


class LadderRead:
    """Where one read stands: what was found, what is still open, and what went wrong."""

    def __init__(self, wanted: Iterable[str], level: Level | None = None) -> None:
        self.open = dict.fromkeys(wanted)
        """Zones without a state, in the order asked."""
        self.found: dict[str, Found] = {}
        self.first_reason: FallbackReason | None = None
        """Why this read did not end at Redis; None until Redis was asked."""
        self.cache_failed = False
        """Redis was asked in vain; a miss is an answer."""
        self.store_failed = False
        self.begun_s = 0.0
        self._missing: dict[str, FallbackReason] = {}
        self._level = level

    @property
    def unasked(self) -> list[str]:
        """Open zones that a store may still have."""
        if not self._missing:
            return list(self.open)
        return [zone_id for zone_id in self.open if zone_id not in self._missing]

    def settle(self, zone_id: str, found: Found) -> None:
        self.found[zone_id] = found
        del self.open[zone_id]

    def recall_miss(self, zone_id: str, miss: Miss) -> None:
        """No store had the zone a moment ago: none is asked again."""
        self._missing[zone_id] = miss.reason
        self.cache_failed |= miss.reason is not FallbackReason.REDIS_MISS

    def refuse(self) -> None:
        """Too many reads wait already: no store is asked."""
        self.cache_failed = self.store_failed = True
        self.first_reason = FallbackReason.REDIS_UNAVAILABLE

    def note(self, source: Source, reading: StoreReading) -> None:
        """Remember how a store was found."""
        self.begun_s = self.begun_s or reading.begun_s
        if source is Source.REDIS:
            self.cache_failed |= reading.failure is not None
            self.first_reason = reason_of(reading.failure, self._level)
        else:
            self.store_failed = reading.failure is not None

    def take_last_known(self, last_known: LastKnownZones, oldest_ms: int) -> None:
        for zone_id in tuple(self.open):
            state = last_known.get(zone_id)
            if state is not None and state.window_end_ms >= oldest_ms:
                reason = self.reason(zone_id, FallbackReason.ALL_SYSTEMS_UNAVAILABLE)
                self.settle(zone_id, Found(state, Source.STALE_CACHE, reason, Via.READ))

    def reason(self, zone_id: str, all_failed: FallbackReason) -> FallbackReason:
        """Why a zone got no live state: `all_failed` if no rung could look, else Redis's reason."""
        recalled = self._missing.get(zone_id)
        if recalled is not None:
            return recalled
        is_by_choice = self.first_reason is FallbackReason.EMERGENCY_MODE
        all_have_failed = self.cache_failed and self.store_failed and not is_by_choice
        return all_failed if self.first_reason is None or all_have_failed else self.first_reason


def reason_of(failure: Exception | None, level: Level | None = None) -> FallbackReason:
    """Why a read went on behind Redis: it could not ask there, or (None) there was nothing.

    In an emergency the mode leaves so few calls that one too many is its choice.
    """
    if failure is None:
        return FallbackReason.REDIS_MISS
    if level is not None and level >= Level.SEVERE and isinstance(failure, BulkheadFullError):
        return FallbackReason.EMERGENCY_MODE
    if isinstance(failure, CircuitOpenError | RampingUp):
        return FallbackReason.BREAKER_OPEN
    if isinstance(failure, DependencyTimeout | DeadlineExceeded):
        return FallbackReason.REDIS_TIMEOUT
    return FallbackReason.REDIS_UNAVAILABLE
