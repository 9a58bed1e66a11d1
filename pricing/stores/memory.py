"""The twin of both stores of zone states in memory.

Tests and benchmarks read and write it, and the OpenAPI generator stands it in for the servers
that it does not need. No process of the service builds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pricing.model import ZoneState
from pricing.ports import CityTick


class MemoryStates:
    """Zone states in this process: a `StateCache` and a `StateStore` by the real ones' rules.

    What `write` left and what `write_tick` left are kept apart, as in two servers; `read` answers
    with the newer of the two. One state a zone is kept, for as long as the object lives.
    """

    def __init__(self) -> None:
        self._cached: dict[str, ZoneState] = {}
        self._snapshots: dict[str, ZoneState] = {}
        self._last_ticks: dict[str, int] = {}

    async def read(self, zone_ids: Sequence[str]) -> dict[str, ZoneState]:
        """The newest state of each zone that has one."""
        found = {}
        for zone_id in zone_ids:
            known = (self._cached.get(zone_id), self._carried_forward(zone_id))
            states = [state for state in known if state is not None]
            if states:
                found[zone_id] = max(states, key=lambda state: state.window_end_ms)
        return found

    async def write(self, states: Sequence[ZoneState]) -> int:
        """Keep the states that are newer than the kept ones; returns how many were."""
        return sum(_keep_newer(self._cached, state) for state in states)

    async def write_tick(self, tick: CityTick) -> None:
        """Keep the newest snapshot of each zone and the last tick of the city."""
        for state in tick.snapshots:
            _keep_newer(self._snapshots, state)
        last = self._last_ticks.get(tick.city_id, tick.tick_ms)
        self._last_ticks[tick.city_id] = max(last, tick.tick_ms)

    def _carried_forward(self, zone_id: str) -> ZoneState | None:
        """The zone's newest snapshot, which holds until its city's last tick."""
        state = self._snapshots.get(zone_id)
        if state is None:
            return None
        # As the SQL of the real store does: the newest snapshot holds until the city's last tick.
        gone_ms = max(0, self._last_ticks.get(state.city_id, 0) - state.window_end_ms)
        return replace(
            state,
            window_start_ms=state.window_start_ms + gone_ms,
            window_end_ms=state.window_end_ms + gone_ms,
        )


def _keep_newer(kept: dict[str, ZoneState], state: ZoneState) -> bool:
    """Keep a state if its version is newer; the first of equal ones stays."""
    previous = kept.get(state.zone_id)
    if previous is not None and previous.window_end_ms >= state.window_end_ms:
        return False
    kept[state.zone_id] = state
    return True
