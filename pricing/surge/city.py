"""A city: its window and its policy, and the state of every zone at a tick."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pricing.model import Signal, Zone, ZoneState, is_changed
from pricing.surge.confidence import confidence_of
from pricing.surge.events import DemandEvent, Disposition, SupplyEvent
from pricing.surge.policy.policy import Policy, ZoneRules, decide
from pricing.surge.policy.windows import WindowConfig
from pricing.surge.ticks import is_full_snapshot_due
from pricing.surge.window import CityCounts, CityWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class CityStates:
    """Every zone of a city at one tick, in the order in which the zones were given."""

    city_id: str
    tick_ms: int
    signal: Signal
    states: tuple[ZoneState, ...]
    changed: tuple[ZoneState, ...]
    """Those that differ from the tick before, and those whose full snapshot is due."""


class CitySurge:
    """Turns the events of one city into the states of its zones. Pickles whole.

    Raises:
        ValueError: a zone of another city.
        PolicyError: a zone whose bounds the policy cannot keep.
    """

    def __init__(
        self, city_id: str, zones: Iterable[Zone], policy: Policy, window_config: WindowConfig
    ) -> None:
        self.city_id = city_id
        self.policy = policy
        self._config = window_config
        self._window = CityWindow(window_config)
        self._zones: dict[str, tuple[Zone, ZoneRules]] = {}
        for zone in zones:
            if zone.city_id != city_id:
                raise ValueError(f"zone {zone.zone_id} is of {zone.city_id}, not of {city_id}")
            self._zones[zone.zone_id] = (zone, policy.rules_for(zone))
        self._previous: tuple[ZoneState, ...] = ()

    def add(self, event: DemandEvent | SupplyEvent) -> Disposition:
        """Take one event, in any order, and long before its first tick if need be."""
        if event.zone_id not in self._zones:
            return Disposition.UNKNOWN_ZONE
        return self._window.add(event)

    def states_at(self, tick_ms: int) -> CityStates:
        """Every zone at a tick. Ticks must rise; some may be left out.

        A change is one since the tick just before. Where that was left out it is worked out
        first, so that a gap hides no change and makes none. At the very first tick every zone
        counts as changed.

        Raises:
            ValueError: not a tick, or not after the last one.
        """
        # Before the tick itself is counted: the window only goes forward.
        self._catch_up(tick_ms - self._config.tick_ms)
        counts = self._window.count(tick_ms)
        states = tuple(self._states(tick_ms, counts))
        # Zones never change while a city lives, so states of two ticks stand in the same order.
        previous = self._previous or (None,) * len(states)
        self._previous = states
        return CityStates(
            city_id=self.city_id,
            tick_ms=tick_ms,
            signal=counts.signal,
            states=states,
            changed=tuple(
                state
                for state, before in zip(states, previous, strict=True)
                if is_changed(state, before) or self._is_full_snapshot_due(state)
            ),
        )

    def _catch_up(self, before_ms: int) -> None:
        """Work out the tick before the one that is asked for, if it was left out."""
        counted_ms = self._window.counted_ms
        if counted_ms is not None and counted_ms < before_ms:
            self._previous = tuple(self._states(before_ms, self._window.count(before_ms)))

    def _is_full_snapshot_due(self, state: ZoneState) -> bool:
        return is_full_snapshot_due(
            state.zone_id, state.window_end_ms, tick_ms=self._config.tick_ms
        )

    def _states(self, tick_ms: int, counts: CityCounts) -> Iterator[ZoneState]:
        for zone, rules in self._zones.values():
            yield self._state(tick_ms, zone, rules, counts)

    def _state(self, tick_ms: int, zone: Zone, rules: ZoneRules, counts: CityCounts) -> ZoneState:
        demand = counts.demand.get(zone.zone_id, 0)
        supply = counts.supply.get(zone.zone_id, 0)
        decision = decide(self.policy, rules, demand=demand, supply=supply, signal=counts.signal)
        return ZoneState(
            zone_id=zone.zone_id,
            city_id=zone.city_id,
            base_fare_minor=zone.base_fare_minor,
            currency=zone.currency,
            multiplier_micro=decision.multiplier_micro,
            raw_multiplier_micro=decision.raw_micro,
            demand_count=demand,
            supply_count=supply,
            signal=counts.signal,
            confidence_percent=confidence_of(demand, supply, counts.signal),
            reasons=tuple(reason.value for reason in decision.reasons),
            window_start_ms=tick_ms - self._config.demand_window_ms,
            window_end_ms=tick_ms,
            policy_version=self.policy.version,
        )
