"""Zones that a call to Redis asks for beside those that somebody waits for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from pricing.model import Source, ZoneState
from pricing.reading.last_known import LastKnownZones, LiveState
from pricing.reading.policy import ReadPolicy

_AT_MOST = 32
"""Each costs a few µs in a call that costs a hundred."""


class Prefetch(Protocol):
    """Zones to ask for beside those that somebody waits for."""

    def extend(self, zone_ids: Sequence[str], now_s: float) -> Sequence[str]:
        """These zones, and others behind them."""
        ...

    def keep(
        self, zone_ids: Sequence[str], states: Mapping[str, ZoneState], begun_s: float
    ) -> None:
        """Take in what the others got; those who wait for `zone_ids` keep their own."""
        ...


class MemoPrefetch:
    """Asks Redis early for what the memo is asked for: at the half of its time.

    Without it each zone that is read often becomes a call of its own whenever its memo ends.
    """

    def __init__(self, last_known: LastKnownZones, policy: Callable[[], ReadPolicy]) -> None:
        self._last_known = last_known
        self._policy = policy

    def extend(self, zone_ids: Sequence[str], now_s: float) -> Sequence[str]:
        memo_ms = self._policy().memo_ms
        ripe = self._last_known.ripening(now_s - memo_ms / 2000, _AT_MOST) if memo_ms else ()
        # Behind the others: a miss of theirs must not cost those who wait.
        return [*zone_ids, *(each for each in ripe if each not in zone_ids)] if ripe else zone_ids

    def keep(
        self, zone_ids: Sequence[str], states: Mapping[str, ZoneState], begun_s: float
    ) -> None:
        if len(states) > len(zone_ids) or not states.keys() <= set(zone_ids):
            others = [state for zone_id, state in states.items() if zone_id not in zone_ids]
            self._last_known.keep(others, LiveState(Source.REDIS, None, begun_s))
