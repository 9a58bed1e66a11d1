"""How the pump sends: frozen, checked when made."""

from __future__ import annotations

from dataclasses import dataclass

from fallback.config_check import check_field


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpConfig:
    """Every parameter of a pump. Raises `ValueError` naming the field and the bad value."""

    records_per_s: int = 20_000
    """For all lanes together: above it, sending would be felt by whoever shares the process."""
    batching_window_ms: int = 20
    """Under load a lane waits for the next window, so that the lanes share requests."""
    batch_records: int = 300
    """A batch keeps the event loop busy for 1 µs a record at a time: this many for 0.3 ms. Smaller
    ones cost more in all: each of them is a request and an answer."""
    batch_bytes: int = 256 * 1024
    in_flight_bytes: int = 16 * 1024 * 1024
    """For all lanes together; many lanes make smaller batches."""
    probe_records: int = 10
    """Size of the first batch after an outage."""
    behind_ms: int = 1_000
    """A record that waits longer than this is backlog."""
    stall_s: float = 1.0
    """A batch under way for longer, while nothing else gets through, is an outage."""
    alarm_s: float = 10.0
    """An outage this long is told."""
    diagnose_every_s: float = 5.0
    renew_s: float = 60.0
    """A batch under way for so long, though the other side looks well, needs a new start."""
    retry_s: float = 0.1
    """The first wait after a failure; doubles up to `retry_most_s`, jittered by half."""
    retry_most_s: float = 2.0
    parked_retry_s: float = 5.0
    """The same, for what waits for a person."""
    parked_retry_most_s: float = 60.0
    slow_start_s: float = 30.0
    """Longest way from a tenth of the pace back to the full one; a tenth of the outage."""
    dead_letters_per_minute: int = 100
    """More dead letters in one lane look like a fault of the house, and park it."""

    def __post_init__(self) -> None:
        """Check every range."""
        may_be_zero = {"batching_window_ms", "slow_start_s", "dead_letters_per_minute"}
        for name in self.__dataclass_fields__:
            least = 0 if name in may_be_zero else 0.001
            check_field(self, name, getattr(self, name) >= least)
        check_field(self, "retry_most_s", self.retry_most_s >= self.retry_s)
        check_field(self, "parked_retry_most_s", self.parked_retry_most_s >= self.parked_retry_s)
