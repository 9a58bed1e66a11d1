"""Two clocks that a test moves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class FakeClocks:
    """Monotonic and wall clock; `advance` moves both, a test may step the wall clock alone."""

    now: float = 1_000.0
    wall: float = 1_800_000_000.0

    def now_s(self) -> float:
        return self.now

    def wall_s(self) -> float:
        return self.wall

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds
