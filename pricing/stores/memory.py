"""The in-memory twins of the stores.

Tests and benchmarks read and write them, and they stand in for the servers where only the OpenAPI
document is wanted. No process of the service builds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from pricing.model import ZoneState
from pricing.ports import CityTick
from pricing.stores.operations import LAST, Page, PagePosition
from streaming.events.event_types import AuditRecordedV1, ModeChangedV1, rfc3339, to_ms


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


class MemoryOperations:
    """What the mode did and what operators did, by the rules of `PostgresOperations`."""

    def __init__(self) -> None:
        self._modes: dict[PagePosition, dict[str, Any]] = {}
        self._audits: dict[PagePosition, dict[str, Any]] = {}

    async def write(
        self,
        modes: Sequence[tuple[str, ModeChangedV1]],
        audits: Sequence[tuple[str, AuditRecordedV1]],
    ) -> None:
        """Keep events by their ids; those that are there stay as they are."""
        for event_id, mode in modes:
            row = mode.model_dump(by_alias=True, exclude={"since"})
            self._modes.setdefault((mode.occurred_at, UUID(event_id)), row)
        for event_id, audit in audits:
            self._audits.setdefault((audit.occurred_at, UUID(event_id)), audit.model_dump())

    async def mode_events(self, limit: int, before: PagePosition = LAST) -> Page:
        return _page(self._modes, limit, before)

    async def audit(self, limit: int, before: PagePosition = LAST) -> Page:
        return _page(self._audits, limit, before)


def _page(entries: dict[PagePosition, dict[str, Any]], limit: int, before: PagePosition) -> Page:
    positions = sorted((position for position in entries if position < before), reverse=True)
    rows = [
        {
            **entries[moment, event_id],
            "id": str(event_id),
            "occurred_at": rfc3339(to_ms(moment)),
        }
        for moment, event_id in positions[:limit]
    ]
    return Page(rows, positions[limit - 1] if len(positions) > limit else None)
