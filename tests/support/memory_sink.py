"""A sink in memory that fails as told."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

from fallback.pump.sink import Poison, SinkFailure

Rule = Callable[[bytes, Sequence[bytes]], SinkFailure | None]


class MemorySink:
    """Keeps what it is sent, by lane. `rule` may refuse a batch; `gate` may hold all of them."""

    def __init__(self) -> None:
        self.kept: defaultdict[bytes, list[bytes]] = defaultdict(list)
        self.batches: list[tuple[bytes, int]] = []
        """Lane and records of each batch that came, refused ones included."""
        self.rule: Rule = lambda _lane, _bodies: None
        self.gate = asyncio.Event()
        self.gate.set()
        self.most_at_once = 0
        self.diagnosis: SinkFailure | None = None
        self.renewals = 0
        self._at_once = 0

    def group_of(self, lane: bytes) -> str:
        return lane.rpartition(b"/")[0].decode()

    async def send(self, lane: bytes, bodies: Sequence[bytes]) -> None:
        self.batches.append((lane, len(bodies)))
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await self.gate.wait()
        finally:
            self._at_once -= 1
        failure = self.rule(lane, bodies)
        if failure is not None:
            raise failure
        self.kept[lane] += bodies

    async def diagnose(self, lane: bytes) -> SinkFailure | None:
        return self.diagnosis

    def renew(self, reason: str) -> None:
        self.renewals += 1


def poisoned_by(*bad: bytes, certain_after: int = 1) -> Rule:
    """Refuses each batch that holds one of these."""

    def rule(_lane: bytes, bodies: Sequence[bytes]) -> SinkFailure | None:
        if any(body in bad for body in bodies):
            return Poison("refused", code="10", certain_after=certain_after)
        return None

    return rule
