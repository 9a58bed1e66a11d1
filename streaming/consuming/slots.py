"""Which partitions a reader holds, and how far it has read them. Pure: no I/O, no clock.

A *slot* is partition `n` of every topic of the reader. Its life: assigned (some of its
partitions are ours) → waiting (all of them are) → open (each has a start, records flow) → gone.
A rebalance takes everything away first, so a slot that comes back starts anew.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

Partition = tuple[str, int]
"""Topic and number."""


class SlotTable:
    """The bookkeeping of one reader."""

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = tuple(topics)
        self._assigned: frozenset[Partition] = frozenset()
        self._open: dict[int, int] = {}  # slot -> the opening it lives in
        self._told: dict[int, int] = {}
        self._openings = 0
        self._positions: dict[Partition, int] = {}
        self.paused: set[Partition] = set()
        """Partitions that hand out nothing until they are resumed, through every rebalance."""
        self.epoch = 0
        """Grows with each assignment and revocation: tells results of an older one apart."""

    def revoke(self) -> None:
        """Everything is taken away."""
        self.epoch += 1
        self._assigned = frozenset()
        self._open.clear()
        self._positions.clear()

    def assign(self, partitions: Iterable[Partition]) -> None:
        """These partitions are ours now; none of their slots is open yet."""
        self.revoke()
        self._assigned = frozenset(partitions)

    @property
    def waiting(self) -> list[int]:
        """Slots that are whole and not open."""
        numbers = {number for _, number in self._assigned} - self._open.keys()
        return sorted(number for number in numbers if self._is_whole(number))

    def open(self, slot: int, starts: Mapping[str, int]) -> None:
        """Records of the slot count from here on; `starts` has an offset for each topic."""
        self._openings += 1
        self._open[slot] = self._openings
        for topic in self._topics:
            self._positions[topic, slot] = starts[topic]

    def close(self, slot: int) -> None:
        """The slot has to be opened again: its place in the log is gone."""
        self._open.pop(slot, None)
        for topic in self._topics:
            self._positions.pop((topic, slot), None)

    def is_open(self, slot: int) -> bool:
        return slot in self._open

    @property
    def open_partitions(self) -> Collection[Partition]:
        return self._positions.keys()

    def partitions_of(self, slot: int) -> list[Partition]:
        return [(topic, slot) for topic in self._topics]

    def position(self, partition: Partition) -> int | None:
        """Offset of the next record to hand out; None while the slot is not open."""
        return self._positions.get(partition)

    def advance(self, partition: Partition, offset: int) -> None:
        """Everything before `offset` was handed out. Never goes back."""
        if (position := self._positions.get(partition)) is not None:
            self._positions[partition] = max(position, offset)

    def changes(self) -> tuple[frozenset[int], frozenset[int]]:
        """Slots opened and lost since the last call; one that came back is in both."""
        opened = {slot for slot, opening in self._open.items() if self._told.get(slot) != opening}
        lost = {slot for slot, opening in self._told.items() if self._open.get(slot) != opening}
        self._told = dict(self._open)
        return frozenset(opened), frozenset(lost)

    def _is_whole(self, slot: int) -> bool:
        return self._assigned.issuperset(self.partitions_of(slot))
