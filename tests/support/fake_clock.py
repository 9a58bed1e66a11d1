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


class WallMs:
    """Wall time in milliseconds that only a test moves."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms

    def advance(self, by_ms: int) -> bool:
        """Move on; true, so that it may stand in a condition."""
        self.now_ms += by_ms
        return True
