"""Settings of the zone processor."""

from __future__ import annotations

from dataclasses import dataclass

from pricing.surge.policy.windows import WindowConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorConfig:
    """How far back to read, and which ticks are still news."""

    window: WindowConfig
    rewind_ms: int = 25 * 60_000
    """How far a partition is read again; longer than the windows' memory."""
    news_ms: int = 60_000
    """An older tick, computed late, goes to Postgres only."""

    def __post_init__(self) -> None:
        """Check the ranges against each other."""
        if self.rewind_ms < self.window.memory_ms + self.news_ms:
            raise ValueError(f"rewind_ms={self.rewind_ms} is less than the windows' memory")

    def exact_from_ms(self, now_ms: int) -> int:
        """The first tick that is exact after reading again: its whole memory was read."""
        return self._tick_from(now_ms - self.rewind_ms + self.window.memory_ms)

    def publish_from_ms(self, written_ms: int | None, now_ms: int) -> int:
        """The first tick to write out, where the last owner of a partition wrote `written_ms`.

        None: no earlier owner left word; then only ticks that are still news are written.
        """
        exact_ms = self.exact_from_ms(now_ms)
        if written_ms is None:
            return max(self._tick_from(now_ms - self.news_ms), exact_ms)
        return max(self._tick_from(written_ms + self.window.tick_ms), exact_ms)

    def _tick_from(self, moment_ms: int) -> int:
        tick_ms = self.window.tick_ms
        return -(-moment_ms // tick_ms) * tick_ms
