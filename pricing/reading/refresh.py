"""Keeps every zone's last known state warm, by the same work in good times and in bad.

Every few seconds all zones are read: from Redis, what it does not have from Postgres, and where
neither can be asked, from the price feed. How many requests there are changes nothing, so that
an outage finds the table full and the refresh no heavier than before.

Until a store has told anything, readers whom none answers within their short deadlines get default
fares. So the first rounds give Redis more time than they have, and a start waits for one of them.
"""

from __future__ import annotations

import asyncio
import random as random_module
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import structlog

from fallback.background import in_background
from fallback.clock import Monotonic, monotonic_s
from pricing.clocks import StateClock
from pricing.model import ZoneState
from pricing.reading.guarded_store import Rung
from pricing.reading.ladder import reason_of
from pricing.reading.last_known import LastKnownZones, LiveState
from pricing.reading.snapshot import Snapshot, SnapshotFile

_log = structlog.get_logger(__name__)

_SLICE = 500
"""Zones of one read: decoding more in one go would hold the event loop."""
_JITTER = 0.2
_SAVE_EVERY_S = 10.0
FIRST_READ_MS = 2_000
"""Deadline of Redis until a store has told anything; nobody waits for so long."""
_FIRST_ROUND_S = 1.0
"""Longest wait of a start for its first round. Enough for the three round trips of a first call to
a Redis that takes thrice the readers' 100 ms for each; short enough to be up in 2 s where every
store hangs. Where all refuse, there is no wait."""


class FeedStates(Protocol):
    """The states that the price feed tells, where no store can be asked."""

    async def read(self) -> Sequence[ZoneState]:
        """The newest state of each zone since the last call. Never raises."""
        ...

    async def rest(self) -> None:
        """Nobody needs it now."""
        ...


class RefreshObserver(Protocol):
    """Hears where a round found its states: redis, database, feed or none."""

    def refreshed(self, source: str, zones: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshParts:
    """What a refresh works with."""

    last_known: LastKnownZones
    cache: Rung
    first_cache: Rung
    """Redis again, with the deadline of `FIRST_READ_MS`: asked until a store has told anything."""
    store: Rung
    clock: StateClock
    feed: FeedStates | None = None
    file: SnapshotFile | None = None
    observers: Sequence[RefreshObserver] = ()


class ZoneRefresh:
    """Reads all zones, again and again. One event loop."""

    def __init__(
        self,
        parts: RefreshParts,
        *,
        every_s: float,
        now_s: Monotonic = monotonic_s,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._parts = parts
        self._every_s = every_s
        self._now_s = now_s
        self._random = random
        self._saved_s = now_s()
        self._saved: tuple[ZoneState, ...] = ()
        self._stores_asked = asyncio.Event()
        self._has_told = False
        """A store gave a state to this process."""

    async def load(self) -> None:
        """Begin with what the last process left on disk."""
        file = self._parts.file
        snapshot = None if file is None else await asyncio.to_thread(file.load)
        if snapshot is not None:
            self._parts.clock.not_before(snapshot.saved_at_ms)
            self._parts.last_known.keep(snapshot.states)
            _log.info("zone snapshot loaded", zones=len(snapshot.states))

    async def wait_for_first(self) -> None:
        """Return once the stores were asked for every zone, in vain or not.

        Returns after `_FIRST_ROUND_S` in any case: a start must not hang where a store does.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_ROUND_S):
                await self._stores_asked.wait()

    async def run(self) -> None:
        """Refresh until cancelled."""
        while True:
            try:
                await self.round()
                if self._now_s() - self._saved_s >= _SAVE_EVERY_S:
                    await self.save()
            except Exception:  # noqa: BLE001 - one bad round must not end the rounds
                _log.exception("refresh broke")
            finally:
                # Also after a bad round: a start waits for the first, whatever became of it.
                self._stores_asked.set()
            # Jittered, so that replicas do not read in step.
            await asyncio.sleep(self._every_s * (1 + _JITTER * (2 * self._random() - 1)))

    async def round(self) -> None:
        """Read every zone once, in slices."""
        zone_ids = tuple(self._parts.last_known.zone_ids)
        asked = False
        for start in range(0, len(zone_ids), _SLICE):
            asked |= await self._read_slice(zone_ids[start : start + _SLICE])
            await asyncio.sleep(0)
        # Before the feed, whose three seconds no start waits for.
        self._stores_asked.set()
        feed = self._parts.feed
        if feed is None:
            return
        if asked:
            await feed.rest()
        else:
            self._keep(await feed.read(), "feed", None)

    async def save(self) -> None:
        """Write the table to disk, if it changed."""
        file, states = self._parts.file, self._parts.last_known.states()
        if file is None or states == self._saved:
            return
        self._saved_s = self._now_s()
        snapshot = Snapshot(self._parts.clock.now_ms(), states)
        if await asyncio.to_thread(file.write, snapshot):
            self._saved = states

    async def _read_slice(self, zone_ids: Sequence[str]) -> bool:
        """Read some zones; returns whether any store could be asked."""
        cache = self._parts.cache if self._has_told else self._parts.first_cache
        reading = await cache.read(zone_ids)
        is_asked = reading.failure is None
        source = cache.source
        self._keep(reading.states.values(), source, LiveState(source, None, reading.begun_s))
        missing = [zone_id for zone_id in zone_ids if zone_id not in reading.states]
        if missing:
            reason = reason_of(reading.failure)
            reading = await self._parts.store.read(missing)
            is_asked |= reading.failure is None
            source = self._parts.store.source
            self._keep(reading.states.values(), source, LiveState(source, reason, reading.begun_s))
        return is_asked

    def _keep(self, found: Collection[ZoneState], source: str, live: LiveState | None) -> None:
        if found:
            self._has_told |= live is not None
            self._parts.clock.settle(max(state.window_end_ms for state in found))
            self._parts.last_known.keep(found, live)
        for observer in self._parts.observers:
            observer.refreshed(source, len(found))


@asynccontextmanager
async def refreshing(refresh: ZoneRefresh) -> AsyncIterator[None]:
    """Load what is on disk, then refresh while open; what is known at the end is saved.

    Opening waits a bounded moment for the first round.
    """
    await refresh.load()
    try:
        async with in_background("refresh", refresh.run()):
            await refresh.wait_for_first()
            yield
    finally:
        await refresh.save()
