"""Keeps count of acknowledged events until each has been read back from its topic."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_MOST_REMEMBERED: Final = 200_000


class DeliveryCheck:
    """Event ids that were acknowledged, against those that were read from the topics.

    `missing` are acknowledged and not read yet; those that stay missing are lost. Beyond
    `most_remembered` ids on either side, further ones are left out and counted in `unchecked`.
    """

    def __init__(self, most_remembered: int = _MOST_REMEMBERED) -> None:
        self._most_remembered = most_remembered
        self._missing: set[str] = set()
        self._read_before_ack: dict[str, None] = {}
        self.acknowledged = 0
        self.unchecked = 0

    @property
    def missing(self) -> int:
        """How many acknowledged events have not been read from their topic."""
        return len(self._missing)

    def acknowledge(self, event_ids: Iterable[str]) -> None:
        """The service has taken these events."""
        for event_id in event_ids:
            self.acknowledged += 1
            if event_id in self._read_before_ack:
                del self._read_before_ack[event_id]
            elif len(self._missing) < self._most_remembered:
                self._missing.add(event_id)
            else:
                self.unchecked += 1

    def read(self, event_id: str) -> None:
        """An event was read from its topic; a repeat changes nothing."""
        if event_id in self._missing:
            self._missing.remove(event_id)
            return
        # Not acknowledged yet, never to be (the answer got lost), or a repeat.
        self._read_before_ack[event_id] = None
        if len(self._read_before_ack) > self._most_remembered:
            del self._read_before_ack[next(iter(self._read_before_ack))]
