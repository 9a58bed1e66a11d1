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
from pricing.model import Source, Zone, ZoneState
from pricing.reading.answer import Answer, FallbackReason, Via, default_answer, state_answer
from pricing.reading.guarded_store import Rung, StoreReading
from pricing.reading.last_known import Held, LastKnownZones, LiveState
from pricing.reading.policy import OLDEST_MS, ReadPolicy, level_of
from pricing.reading.surge_limit import SurgeLimit


class Found(NamedTuple):
    """A zone's state, and how it came to be the answer."""

    state: ZoneState
    source: Source
    reason: FallbackReason | None
    via: Via


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
        local: LastKnownZones,
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
        self._local = local
        self._policy = policy
        self._now_ms = now_ms
        self._now_s = now_s
        self._misses: dict[str, Miss] = {}

    @property
    def known_states(self) -> int:
        """How many zones the stale rung holds a state of."""
        return len(self._local)

    def now_ms(self) -> int:
        """By the clock that ages are told by, epoch ms."""
        return self._now_ms()

    def memo_since_s(self, policy: ReadPolicy) -> float:
        """What a store said at this moment (monotonic) or later still answers."""
        return self._now_s() - policy.memo_ms / 1000

    def remembered(self, zone: Zone, since_s: float) -> Held | None:
        """What the memo has of a zone, without waiting for anything; None: `find` must ask."""
        return self._local.recent(zone.zone_id, since_s)

    def just_found(self, zone: Zone, found: Found) -> Held | None:
        """Where what a store gave just now is held; None: it is not, something newer is."""
        held = self._local.held(zone.zone_id)
        if held is None or held.state.window_end_ms != found.state.window_end_ms:
            return None
        live = held.live
        is_same = live is not None and (live.source, live.reason) == (found.source, found.reason)
        return held if is_same else None

    async def price(self, zone: Zone, policy: ReadPolicy | None = None) -> Answer:
        return (await self.prices((zone,), policy))[0]

    async def prices(self, zones: Sequence[Zone], policy: ReadPolicy | None = None) -> list[Answer]:
        """One answer per zone, in the order given; each rung is read once, for all still open.

        `policy`: what held when the request came in; None: what holds now.
        """
        policy = policy or self._policy()
        return self.answers(zones, await self.find(zones, policy), policy)

    async def find(self, zones: Sequence[Zone], policy: ReadPolicy) -> LadderRead:
        """Climb the rungs for these zones; what is open in the end gets the default fare."""
        climb = LadderRead([zone.zone_id for zone in zones], policy.level)
        if policy.memo_ms:
            self._recall(climb, self.memo_since_s(policy))
        if climb.open:
            await self._read_stores(climb, policy)
        if climb.open:
            level = level_of(cache_failed=climb.cache_failed, store_failed=climb.store_failed)
            climb.take_local(self._local, self._now_ms() - policy.stale_limit_ms(level))
        return climb

    def answers(self, zones: Sequence[Zone], climb: LadderRead, policy: ReadPolicy) -> list[Answer]:
        """What a climb found, as answers."""
        now_ms = self._now_ms()
        return [self._answer(zone, climb, now_ms, policy.surge) for zone in zones]

    def _recall(self, climb: LadderRead, since_s: float) -> None:
        """Answer from the memo what stores said, or said that they had not, since then."""
        oldest_ms = self._now_ms() - OLDEST_MS
        for zone_id in list(climb.open):
            held = self._local.recent(zone_id, since_s)
            if held is not None and held.live is not None:
                if held.state.window_end_ms >= oldest_ms:
                    live = held.live
                    climb.settle(zone_id, Found(held.state, live.source, live.reason, Via.MEMO))
                continue
            miss = self._misses.get(zone_id)
            if miss is not None and miss.begun_s >= since_s:
                climb.recall_miss(zone_id, miss)

    async def _read_stores(self, climb: LadderRead, policy: ReadPolicy) -> None:
        self.bulkhead.limit = policy.reads_in_flight
        try:
            with self.bulkhead, request_deadline(policy.deadline_ms / 1000, self._now_s):
                for rung in self._rungs:
                    if unasked := climb.unasked:
                        self._take(rung.source, climb, unasked, await rung.read(unasked))
        except BulkheadFullError:
            climb.refuse()
        else:
            if climb.open:
                self._note_misses(climb)

    def _take(
        self, source: Source, climb: LadderRead, asked: Sequence[str], reading: StoreReading
    ) -> None:
        """Keep what a store gave, and settle what is not too old to be told.

        Of what others asked for in the same fetch, they keep theirs.
        """
        oldest_ms = self._now_ms() - OLDEST_MS
        reason, states = climb.first_reason, reading.states
        live = LiveState(source, reason, reading.begun_s)
        via = Via.FLIGHT if reading.is_joined else Via.READ
        for zone_id in asked:
            state = states.get(zone_id)
            if state is not None:
                self._local.keep((state,), live)
                if state.window_end_ms >= oldest_ms:
                    climb.settle(zone_id, Found(state, source, reason, via))
        climb.note(source, reading)

    def _note_misses(self, climb: LadderRead) -> None:
        """Remember what the last store that could be asked did not have."""
        if climb.store_failed or climb.first_reason is None:
            return
        miss = Miss(climb.first_reason, climb.begun_s)
        for zone_id in climb.unasked:
            # At most one a zone: only known zones are asked for.
            self._misses[zone_id] = miss

    def _answer(self, zone: Zone, climb: LadderRead, now_ms: int, surge: SurgeLimit) -> Answer:
        found = climb.found.get(zone.zone_id)
        if found is None:
            reason = climb.reason(zone.zone_id, FallbackReason.ALL_SYSTEMS_FAILED)
            return default_answer(zone, reason=reason, now_ms=now_ms)
        return state_answer(
            zone,
            surge.apply(found.state, max(0, now_ms - found.state.window_end_ms)),
            source=found.source,
            reason=found.reason,
            now_ms=now_ms,
            tick_ms=self.tick_ms,
            via=found.via,
        )


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

    def take_local(self, local: LastKnownZones, oldest_ms: int) -> None:
        for zone_id in tuple(self.open):
            state = local.get(zone_id)
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
