"""Every lane that is known, how far each is acknowledged, and what each may read ahead.

Pure bookkeeping, on the event loop.
"""

from __future__ import annotations

from collections.abc import Callable

from fallback.spool.config import SpoolConfig
from fallback.spool.format.cursor import Cursor
from fallback.spool.reading.lane import Lane


class LaneTable:
    """The lanes by name, in the order in which they were found."""

    def __init__(
        self,
        config: SpoolConfig,
        cursor: Cursor,
        on_want: Callable[[], None],
        on_ack: Callable[[], None],
    ) -> None:
        self._config = config
        self._acked = dict(cursor.acked)
        self._on_want = on_want
        self._on_ack = on_ack
        self.by_name: dict[bytes, Lane] = {}
        self.low_water = cursor.low_water
        """Everything up to here is delivered; segments that end here are given up."""

    def add(self, name: bytes, *, behind_from: int | None) -> Lane:
        """Enter a new lane; `behind_from`: its records from here on may be on the disk alone."""
        lane = Lane(name, self.acked(name), self._on_want)
        lane.listen(self._note_ack)
        if behind_from is not None:
            lane.is_behind = True
            lane.next_seq = max(behind_from, lane.acked + 1)
        self.by_name[name] = lane
        return lane

    def acked(self, name: bytes) -> int:
        """Everything of a lane up to here is delivered, known or not."""
        return max(self.low_water, self._acked.get(name, 0))

    def lookahead_bytes(self) -> int:
        """How much each lane may hold in memory now."""
        share = self._config.lookahead_bytes // max(1, len(self.by_name))
        return max(self._config.lane_lookahead_bytes, share)

    def hungry(self) -> list[Lane]:
        """Lanes to read from the disk for; first those whose consumer waits for nothing else."""
        room = self.lookahead_bytes()
        hungry = [lane for lane in self.by_name.values() if lane.wants(room)]
        # Then by turns: else the first of many lanes would be read for all the time.
        hungry.sort(key=lambda lane: (not lane.is_starving(), lane.served))
        return hungry

    def outstanding(self) -> dict[bytes, int]:
        """By lane with undelivered records: the first of them."""
        firsts = {name: lane.first_outstanding() for name, lane in self.by_name.items()}
        return {name: first for name, first in firsts.items() if first is not None}

    def cursor(self, unread_from: int) -> Cursor:
        """What to write down now, when nothing from `unread_from` on is known to be delivered.

        How much is synced is for others to say.
        """
        first = min([unread_from, *self.outstanding().values()])
        low_water = max(self.low_water, first - 1)
        ahead = {lane: seq for lane, seq in self._acked.items() if seq > low_water}
        return Cursor(low_water, 0, ahead)

    def raise_low_water(self, seq: int) -> None:
        """Everything up to here is delivered, whatever the lane."""
        self.low_water = max(self.low_water, seq)
        # Bounded by this: names of lanes that are no longer used would else stay for ever.
        self._acked = {lane: seq for lane, seq in self._acked.items() if seq > self.low_water}

    def close(self) -> None:
        """End the waits of all consumers."""
        for lane in self.by_name.values():
            lane.close()

    def _note_ack(self, lane: Lane) -> None:
        self._acked[lane.name] = lane.acked
        self._on_ack()
