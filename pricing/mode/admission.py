"""Which requests are taken at a level of the mode: the dispensable ones go first."""

from __future__ import annotations

from enum import StrEnum

from fallback.guards.bulkhead import Bulkhead
from pricing.mode.policy import Knobs

_ALL = 100


class Criticality(StrEnum):
    """How much somebody misses the answer (the classes of Google's SRE book, chapter 21)."""

    CRITICAL_PLUS = "critical_plus"
    """Prices, events, health, operators: always taken."""
    CRITICAL = "critical"
    """People wait for it: quotes."""
    SHEDDABLE_PLUS = "sheddable_plus"
    """It can wait: maps, histories, what-ifs."""
    SHEDDABLE = "sheddable"
    """Nobody waits for it: batches, exports."""


class Admission:
    """Takes the share of the requests that a level allows, evenly spread. One event loop.

    CRITICAL requests share `room` places at once, of which a level leaves a part.
    """

    def __init__(self, room: int = 256) -> None:
        if room < 1:
            raise ValueError(f"room={room!r} must be at least 1")
        self._room = room
        self._owed = dict.fromkeys(Criticality, 0)
        self.critical = Bulkhead("critical", room)
        self.shed = dict.fromkeys(Criticality, 0)
        """Refused so far."""

    def admits(self, criticality: Criticality, knobs: Knobs) -> bool:
        """Whether a request is taken; for CRITICAL, `critical` decides on entry."""
        if criticality is Criticality.CRITICAL:
            self.critical.limit = max(1, self._room * knobs.critical_percent // _ALL)
            return True
        percent = _percent(criticality, knobs)
        owed = self._owed[criticality] + percent
        self._owed[criticality] = owed % _ALL
        if owed < _ALL:
            self.shed[criticality] += 1
        return owed >= _ALL


def _percent(criticality: Criticality, knobs: Knobs) -> int:
    if criticality is Criticality.SHEDDABLE:
        return knobs.sheddable_percent
    return knobs.sheddable_plus_percent if criticality is Criticality.SHEDDABLE_PLUS else _ALL
