"""The last known state of each zone, in this process: the memo and the stale rung.

One table serves both, so that a memo can never hide what the process knows better: whatever
brings a newer version, a read, the refresh or the topic, replaces the state for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

from pricing.model import Source, ZoneState
from pricing.reading.answer import FallbackReason, Via

_STATE_BYTES = 600
"""A state without its own texts, and its place in the table."""


class LiveState(NamedTuple):
    """That states come from a store right now."""

    source: Source
    reason: FallbackReason | None
    """Why the read did not end at Redis; None where it did."""
    begun_s: float
    """Monotonic, when the store was asked: what it knew by then is in the states."""


_UNSAID = LiveState(Source.STALE_CACHE, None, float("-inf"))
"""No store said so: read from the disk or the topic. Older than any memo reaches."""


class Found(NamedTuple):
    """A zone's state, and how it came to be the answer."""

    state: ZoneState
    source: Source
    reason: FallbackReason | None
    via: Via


class _Held:
    """A zone's state, and what a memo of it may answer."""

    __slots__ = ("begun_s", "is_wanted", "memo", "size", "state")

    def __init__(self, state: ZoneState, live: LiveState, size: int) -> None:
        self.is_wanted = False
        """Read from the memo since a store was last asked."""
        self.hear(state, live, size)

    def hear(self, state: ZoneState, live: LiveState, size: int) -> None:
        """Take in that a store, or whoever is `_UNSAID`, said so."""
        self.state = state
        self.size = size
        self.begun_s = live.begun_s
        """Monotonic, when the store that said so last was asked."""
        # Made here and not when it is asked for, which is many times as often.
        self.memo = Found(state, live.source, live.reason, Via.MEMO)


class LastKnownZones:
    """Keeps the newest state of each zone of the catalogue.

    Holds at most one state per known zone and at most `max_bytes` in all, by estimate; a zone
    that finds no room is passed over and counted. For one event loop; not for threads.
    """

    def __init__(self, zone_ids: Collection[str], *, max_bytes: int = 64 * 1024 * 1024) -> None:
        self._known = frozenset(zone_ids)
        self._max_bytes = max_bytes
        self._held: dict[str, _Held] = {}
        self._wanted: dict[str, _Held] = {}
        self.bytes = 0
        self.refused_total = 0
        """States that found no room."""

    @property
    def zone_ids(self) -> Collection[str]:
        """Every zone of the catalogue, with or without a state."""
        return self._known

    def keep(self, states: Iterable[ZoneState], live: LiveState | None = None) -> None:
        """Take in every state that is newer than the one held. Unknown zones are passed over.

        A store that says the same version again is heard (`live`), and the state stays as it is.
        """
        for state in states:
            held = self._held.get(state.zone_id)
            if held is None:
                if state.zone_id in self._known:
                    self._add(state, live)
            elif state.window_end_ms > held.state.window_end_ms:
                self._replace(held, state, live)
            elif live is not None and state.window_end_ms == held.state.window_end_ms:
                self._confirm(held, live)

    def get(self, zone_id: str) -> ZoneState | None:
        held = self._held.get(zone_id)
        return None if held is None else held.state

    def recent(self, zone_id: str, since_s: float) -> Found | None:
        """What a store said of the zone at `since_s` (monotonic) or later; None: nothing."""
        held = self._held.get(zone_id)
        if held is None or held.begun_s < since_s:
            return None
        if not held.is_wanted:
            held.is_wanted = True
            self._wanted[zone_id] = held
        return held.memo

    def ripening(self, before_s: float, at_most: int) -> list[str]:
        """Zones that are read from the memo, and that no store was asked for since `before_s`.

        Who asks a store for one zone may ask for these too: a few more in one call cost little,
        and each would soon be a call of its own.
        """
        ripe = []
        for zone_id, held in islice(self._wanted.items(), 2 * at_most):
            if held.begun_s < before_s:
                ripe.append(zone_id)
        return ripe[:at_most]

    def states(self) -> tuple[ZoneState, ...]:
        """Every state held."""
        return tuple(held.state for held in self._held.values())

    def __len__(self) -> int:
        """How many zones have a state, of whatever age."""
        return len(self._held)

    def _add(self, state: ZoneState, live: LiveState | None) -> None:
        size = _size(state)
        if self.bytes + size > self._max_bytes:
            self.refused_total += 1
            return
        self.bytes += size
        self._held[state.zone_id] = _Held(state, live or _UNSAID, size)

    def _replace(self, held: _Held, state: ZoneState, live: LiveState | None) -> None:
        size = _size(state)
        if self.bytes + size - held.size > self._max_bytes:
            self.refused_total += 1
            return
        self.bytes += size - held.size
        self._is_asked(held)
        held.hear(state, live or _UNSAID, size)

    def _confirm(self, held: _Held, live: LiveState) -> None:
        # A fetch that began earlier may land later: what it says is no news.
        if live.begun_s <= held.begun_s:
            return
        self._is_asked(held)
        held.hear(held.state, live, held.size)

    def _is_asked(self, held: _Held) -> None:
        if held.is_wanted:
            held.is_wanted = False
            self._wanted.pop(held.state.zone_id, None)


def _size(state: ZoneState) -> int:
    texts = (state.zone_id, state.city_id, state.policy_version, *state.reasons)
    return _STATE_BYTES + sum(map(len, texts))
