"""A city's window: events in, counts of each zone at a tick out.

The counts at a tick are a function of the *set* of events that are visible at it: order of
arrival, repeats and how far the log was read ahead change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pricing.model import Signal
from pricing.surge.demand import Copy, DemandWindow
from pricing.surge.events import DemandEvent, Disposition, SupplyEvent
from pricing.surge.policy.windows import WindowConfig
from pricing.surge.supply import Heartbeat, SupplyWindow
from pricing.surge.ticks import event_time, first_tick, is_future


@dataclass(frozen=True, slots=True)
class CityCounts:
    """What a city's zones saw at one tick. Zones with a count of zero are absent."""

    demand: Mapping[str, int]
    supply: Mapping[str, int]
    signal: Signal


class CityWindow:
    """Requests and heartbeats of one city, counted tick by tick.

    Events may be added in any order, and long before their first tick. What can matter to no
    tick to come is dropped as ticks are counted. Pickles whole.
    """

    def __init__(self, config: WindowConfig) -> None:
        self.config = config
        self.counted_ms: int | None = None
        """The tick that was counted last."""
        self._demand = DemandWindow(window_ms=config.demand_window_ms, tick_ms=config.tick_ms)
        self._supply = SupplyWindow(config)

    def add(self, event: DemandEvent | SupplyEvent) -> Disposition:
        """Take one event."""
        event_ms = event_time(event.occurred_ms, event.arrived_ms)
        first_ms = first_tick(
            event_ms, event.arrived_ms, tick_ms=self.config.tick_ms, grace_ms=self.config.grace_ms
        )
        if isinstance(event, DemandEvent):
            copy = Copy(event_ms, event.event_id, event.zone_id)
            disposition = self._demand.add(event.request_id, copy, first_ms=first_ms)
        else:
            heartbeat = Heartbeat(event_ms, event.event_id, event.zone_id, event.available)
            disposition = self._supply.add(event.driver_id, heartbeat, first_ms=first_ms)
        if is_future(event.occurred_ms, event.arrived_ms):
            return disposition | Disposition.FUTURE
        return disposition

    def count(self, tick_ms: int) -> CityCounts:
        """Demand, supply and signal at a tick. Ticks must rise; some may be left out.

        Raises:
            ValueError: not a tick, or not after the one counted last.
        """
        if tick_ms % self.config.tick_ms:
            raise ValueError(f"{tick_ms} is no multiple of the tick, {self.config.tick_ms} ms")
        if self.counted_ms is not None and tick_ms <= self.counted_ms:
            raise ValueError(f"tick {tick_ms} is asked for after {self.counted_ms}")
        demand = self._demand.count(tick_ms)
        supply, signal = self._supply.count(tick_ms)
        self.counted_ms = tick_ms
        return CityCounts(demand, supply, signal)
