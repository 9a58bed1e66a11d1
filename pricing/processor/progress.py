"""One partition of the input, and which of its ticks may be computed. Pure: no I/O, no clock.

A tick T needs every record that the log got by T + grace. Two things prove that they were all
taken: a later record of the same topic, or a *barrier*, the end of the log as it was asked for
after that instant. The barrier serves when nothing arrives, the later record while a long log
is read again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pricing.surge.city import CityStates, CitySurge


@dataclass(frozen=True, slots=True)
class Barrier:
    """Where the topics ended when every record of a tick was in them."""

    tick_ms: int
    ends: Mapping[str, int]
    """By topic: the offset after the last record."""


@dataclass(slots=True)
class SlotProgress:
    """Partition `slot` of every input topic, with the cities whose key leads there."""

    slot: int
    cities: Mapping[str, CitySurge]
    topics: Sequence[str]
    tick_ms: int
    grace_ms: int
    next_tick_ms: int
    """The next tick to compute."""
    publish_from_ms: int
    """Ticks before this one are computed, so that the next one can be compared, and not written."""
    handled: Mapping[str, int] = field(default_factory=dict)
    """By topic: records before this offset are read again, and were reported before."""
    barrier: Barrier | None = None
    _arrived: dict[str, int] = field(default_factory=dict)

    def saw(self, topic: str, arrived_ms: int) -> None:
        """Note that a topic was read up to a record that arrived at this instant."""
        # Stamps of one partition may run backwards when its broker changes; proof never does.
        self._arrived[topic] = max(arrived_ms, self._arrived.get(topic, arrived_ms))

    def is_repeat(self, topic: str, offset: int) -> bool:
        """Whether a record was already taken by an earlier owner of the partition."""
        return offset < self.handled.get(topic, 0)

    def wants_barrier(self, closed_tick_ms: int, positions: Mapping[str, int]) -> bool:
        """Whether the end of the log should be asked for, so that this tick can be computed."""
        if closed_tick_ms < self.next_tick_ms:
            return False
        barrier = self.barrier
        if barrier is None:
            return True
        # Not before the last one is reached: asked for anew each round, the end of a busy log
        # would move on as fast as it is read.
        return barrier.tick_ms < closed_tick_ms and self._reached(barrier, positions)

    def ticks(self, positions: Mapping[str, int]) -> Iterator[tuple[int, list[CityStates]]]:
        """Compute every tick that is due, oldest first: its instant, and each city's states.

        `positions`: by topic, the offset after the last record taken.
        """
        frontier_ms = self._frontier_ms(positions)
        while self.next_tick_ms + self.grace_ms <= frontier_ms:
            tick_ms = self.next_tick_ms
            states = [city.states_at(tick_ms) for city in self.cities.values()]
            # Before the tick is handed out: a caller that stops in between must not get it twice.
            self.next_tick_ms = tick_ms + self.tick_ms
            if tick_ms >= self.publish_from_ms:
                yield tick_ms, states

    def lead_ms(self, topic: str, positions: Mapping[str, int]) -> int:
        """How far a topic was read ahead of the one that holds up the ticks, by arrival."""
        return self._arrived.get(topic, 0) - self._frontier_ms(positions)

    def _frontier_ms(self, positions: Mapping[str, int]) -> int:
        """Every record that arrived by this instant was taken."""
        return min(self._topic_frontier_ms(topic, positions) for topic in self.topics)

    def _topic_frontier_ms(self, topic: str, positions: Mapping[str, int]) -> int:
        # Less one: another record with the same stamp may follow.
        by_record = self._arrived.get(topic, 0) - 1
        barrier = self.barrier
        if barrier is None or positions.get(topic, 0) < barrier.ends.get(topic, 0):
            return by_record
        return max(by_record, barrier.tick_ms + self.grace_ms)

    def _reached(self, barrier: Barrier, positions: Mapping[str, int]) -> bool:
        return all(positions.get(topic, 0) >= barrier.ends.get(topic, 0) for topic in self.topics)
