"""The last known state of each zone, in this process."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pricing.model import ZoneState


class LocalZones:
    """Keeps the newest state of each zone of the catalogue: what the stale rung answers from.

    Holds at most one state per known zone, so its size is the catalogue's. For one event
    loop; not for threads.
    """

    def __init__(self, zone_ids: Collection[str]) -> None:
        self._known = frozenset(zone_ids)
        self._states: dict[str, ZoneState] = {}

    def keep(self, states: Iterable[ZoneState]) -> None:
        """Take in every state that is newer than the one held. Unknown zones are passed over."""
        for state in states:
            held = self._states.get(state.zone_id)
            if held is None:
                if state.zone_id in self._known:
                    self._states[state.zone_id] = state
            elif state.window_end_ms > held.window_end_ms:
                self._states[state.zone_id] = state

    def get(self, zone_id: str) -> ZoneState | None:
        return self._states.get(zone_id)

    def __len__(self) -> int:
        """How many zones have a state, of whatever age."""
        return len(self._states)
