"""What a spool tells of itself: its state, its figures, and hooks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from fallback.spool.format.scan import Damage


class SpoolState(Enum):
    """How well the spool is, from good to bad."""

    HEALTHY = "healthy"
    FILLING = "filling"
    """`warn_percent` is reached."""
    SHEDDING = "shedding"
    """`shed_percent` is reached: `relaxed` entries are refused."""
    FULL = "full"
    """No room: appends wait for it, then fail. Deliveries go on, and make room."""
    FAILED = "failed"
    """The disk failed twice: every append fails. Deliveries go on."""
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolStats:
    """A moment's figures. Totals count since the spool was opened."""

    state: SpoolState
    records: int
    """Not yet acknowledged; backlog that nobody has read counts by its sequence numbers."""
    lanes: int
    bytes: int
    """Taken on the disk by records."""
    quota_bytes: int
    free_bytes: int
    """Left on the volume."""
    percent: int
    """Share of the room that is used, 0 to 100."""
    oldest_age_ms: int | None
    """Age of the oldest record not acknowledged; None: there is none, or it is not read yet."""
    unsynced_records: int
    """What a power cut would lose now."""
    corrupt_records: int
    """Sequence numbers without a readable record, where one was promised."""
    corrupt_bytes: int
    holes: int
    """How many stretches those were."""
    torn_bytes: int
    """Cut off at the start: writes that nobody was told of."""
    sync_errors: int
    cursor_errors: int
    read_errors: int
    commits: int


class SpoolObserver(Protocol):
    """Hooks, called on the event loop; none can break the spool."""

    def on_commit(self, records: int, size: int, duration_s: float) -> None:
        """Records, bytes of their bodies, and how long write and sync took."""
        ...

    def on_state_change(self, old: SpoolState, new: SpoolState) -> None: ...

    def on_damage(self, damage: Damage) -> None: ...


class SilentObserver:
    """Hears nothing. A base for those who want only some of the hooks."""

    def on_commit(self, records: int, size: int, duration_s: float) -> None: ...

    def on_state_change(self, old: SpoolState, new: SpoolState) -> None: ...

    def on_damage(self, damage: Damage) -> None: ...
