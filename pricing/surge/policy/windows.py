"""Settings of a city's window."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowConfig:
    """How events become counts. Every value changes prices, so each is part of the policy version.

    Raises:
        ValueError: a value is not a positive whole number (the grace may be 0), or supply
            would be unknown before it is held.
    """

    tick_ms: int = 5_000
    """Distance of two ticks; a tick is a multiple of it."""
    grace_ms: int = 250
    """How late an event may arrive and still be visible at its tick."""
    demand_window_ms: int = 300_000
    """Requests this recent are demand."""
    supply_window_ms: int = 60_000
    """A driver whose newest heartbeat is this recent is supply."""
    supply_hold_after_ms: int = 20_000
    """A whole city without heartbeats for longer keeps its supply as it was."""
    supply_unknown_after_ms: int = 180_000
    """A whole city without heartbeats for longer has no known supply."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "grace_ms" else 1
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{field.name} must be a whole number >= {least}, got {value!r}")
        if self.supply_hold_after_ms >= self.supply_unknown_after_ms:
            raise ValueError(
                f"supply_hold_after_ms={self.supply_hold_after_ms} must be less than "
                f"supply_unknown_after_ms={self.supply_unknown_after_ms}"
            )

    @property
    def supply_reach_ms(self) -> int:
        """A heartbeat that counts at a tick is at most this much older than the tick."""
        return self.supply_unknown_after_ms - self.supply_hold_after_ms + self.supply_window_ms

    @property
    def supply_memory_ms(self) -> int:
        """A heartbeat older than this at a tick tells nothing, not even that the city lives."""
        return max(self.supply_reach_ms, self.supply_unknown_after_ms)

    @property
    def memory_ms(self) -> int:
        """Records that arrived this long before a tick, or longer, cannot change its counts."""
        return max(self.demand_window_ms, self.supply_memory_ms + 1)
