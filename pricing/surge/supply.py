"""Supply: how many drivers are available in each zone, by each driver's newest heartbeat.

The city's *stream clock* is its newest visible heartbeat. While it keeps up with the ticks, the
signal is live and a heartbeat counts for as long as the supply window. When a whole city falls
silent, supply is measured from a moment that no longer moves, so it is held as it was: emptied
by an outage, with five minutes of requests still counting, it would send every price to its
ceiling. After a longer silence nothing is known and no driver counts.
"""

from __future__ import annotations

from typing import NamedTuple

from pricing.model import Signal
from pricing.surge.events import Disposition
from pricing.surge.policy.windows import WindowConfig
from pricing.surge.tick_schedule import TickSchedule


class Heartbeat(NamedTuple):
    """One word from a driver. Heartbeats compare by time, then event id; the greatest is newest."""

    event_ms: int
    event_id: str
    zone_id: str
    available: bool


class SupplyWindow:
    """Drivers of one city by zone.

    Forgets a driver once the newest heartbeat can never count again: any older one that may
    yet arrive could not either, so what is forgotten cannot be missed.
    """

    def __init__(self, config: WindowConfig) -> None:
        self._config = config
        self._schedule: TickSchedule[dict[str, Heartbeat]] = TickSchedule(
            dict, tick_ms=config.tick_ms
        )
        self._newest: dict[str, Heartbeat] = {}
        self._clock_ms: int | None = None

    def add(self, driver_id: str, heartbeat: Heartbeat, *, first_ms: int) -> Disposition:
        """Take one heartbeat; `first_ms` is the first tick at which it is visible."""
        next_ms = self._schedule.next_ms
        if self._is_late(heartbeat.event_ms, max(first_ms, next_ms)):
            return Disposition.LATE
        # Not counted before its first tick, even where it is newer than what counts now: a tick
        # that is counted late must give what it would have given in time.
        waiting = self._schedule.at(first_ms)
        known = (waiting.get(driver_id), self._newest.get(driver_id))
        if heartbeat in known:
            return Disposition.DUPLICATE
        overdue = Disposition.OVERDUE if first_ms < next_ms else Disposition(0)
        _keep_newest(waiting, driver_id, heartbeat)
        if any(other is not None and other.event_id == heartbeat.event_id for other in known):
            return Disposition.DUPLICATE | overdue
        return Disposition.COUNTED | overdue

    def count(self, tick_ms: int) -> tuple[dict[str, int], Signal]:
        """Available drivers by zone at a tick, and the signal. Ticks must rise."""
        for heartbeats in self._schedule.due(tick_ms):
            for driver_id, heartbeat in heartbeats.items():
                _keep_newest(self._newest, driver_id, heartbeat)
                # A driver who is not available is heard from all the same.
                if self._clock_ms is None or heartbeat.event_ms > self._clock_ms:
                    self._clock_ms = heartbeat.event_ms
        signal = self._signal(tick_ms)
        return self._scan(self._oldest_ms(tick_ms), signal), signal

    def _scan(self, oldest_ms: int, signal: Signal) -> dict[str, int]:
        """Count drivers by zone, and forget those whose newest heartbeat is too old for good."""
        supply: dict[str, int] = {}
        gone = []
        for driver_id, (event_ms, _, zone_id, available) in self._newest.items():
            if event_ms < oldest_ms:
                gone.append(driver_id)
            elif available:
                supply[zone_id] = supply.get(zone_id, 0) + 1
        for driver_id in gone:
            del self._newest[driver_id]
        # Forgotten first all the same: a silent city must not keep drivers for ever.
        return {} if signal is Signal.SILENT else supply

    def _signal(self, tick_ms: int) -> Signal:
        if self._clock_ms is None:
            return Signal.SILENT
        silence_ms = tick_ms - self._clock_ms
        if silence_ms <= self._config.supply_hold_after_ms:
            return Signal.LIVE
        return Signal.HELD if silence_ms <= self._config.supply_unknown_after_ms else Signal.SILENT

    def _oldest_ms(self, tick_ms: int) -> int:
        """The oldest heartbeat that can count at this tick or a later one.

        Neither bound ever falls. The second holds for every tick at which supply is known,
        whatever the clock does until then.
        """
        oldest_ms = tick_ms - self._config.supply_reach_ms
        if self._clock_ms is None:
            return oldest_ms
        reference_ms = min(tick_ms, self._clock_ms + self._config.supply_hold_after_ms)
        return max(reference_ms - self._config.supply_window_ms, oldest_ms)

    def _is_late(self, event_ms: int, tick_ms: int) -> bool:
        """Whether a heartbeat can change neither a count nor the clock from this tick on."""
        if self._clock_ms is None or event_ms > self._clock_ms:
            return event_ms < tick_ms - self._config.supply_memory_ms
        return event_ms < self._oldest_ms(tick_ms)


def _keep_newest(heartbeats: dict[str, Heartbeat], driver_id: str, heartbeat: Heartbeat) -> None:
    held = heartbeats.get(driver_id)
    if held is None or heartbeat > held:
        heartbeats[driver_id] = heartbeat
