"""What a pump tells of itself: its state, its alarms, its figures, and hooks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from fallback.pump.sink import SinkFailure
from fallback.spool import SpoolState


class PumpState(Enum):
    """How well events flow, from good to bad."""

    HEALTHY = "healthy"
    """What is appended is delivered at once."""
    RECOVERING = "recovering"
    """There is backlog, and it is being delivered."""
    SPOOLING = "spooling"
    """Something is not delivered now; the spool grows."""
    FULL = "full"
    """The spool takes no more."""
    FAILED = "failed"
    """The spool's disk failed."""


class Alarm(NamedTuple):
    """Something that a person should hear of."""

    kind: str
    """`parked`, `stalled`, or what the sink calls it; from a small set."""
    group: str
    """What is affected, as the sink names it; empty: everything."""
    reason: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PumpStats:
    """A moment's figures. Totals count since the pump was opened."""

    state: PumpState
    in_flight: int
    """Lanes with a batch under way."""
    sent: int
    """Records that were acknowledged."""
    resent: int
    """Records sent again after an unknown outcome: each may be a repeat."""
    dead_lettered: int
    """Records that went to the dead letters."""
    rate: float
    """Records a second that may be sent now."""
    alarms: tuple[Alarm, ...]


class PumpObserver(Protocol):
    """Hooks, called on the event loop; none can break the pump."""

    def on_state_change(self, old: PumpState, new: PumpState) -> None: ...

    def on_sent(self, records: int, size: int, duration_s: float) -> None: ...

    def on_failure(self, failure: SinkFailure, records: int) -> None: ...

    def on_dead_letter(self, failure: SinkFailure) -> None: ...

    def on_recovered(self, outage_s: float) -> None:
        """The backlog of an outage is delivered; how long it took, from the outage's begin."""
        ...

    def on_alarm(self, alarm: Alarm, is_raised: bool) -> None: ...


class SilentPumpObserver:
    """Hears nothing. A base for those who want only some of the hooks."""

    def on_state_change(self, old: PumpState, new: PumpState) -> None: ...

    def on_sent(self, records: int, size: int, duration_s: float) -> None: ...

    def on_failure(self, failure: SinkFailure, records: int) -> None: ...

    def on_dead_letter(self, failure: SinkFailure) -> None: ...

    def on_recovered(self, outage_s: float) -> None: ...

    def on_alarm(self, alarm: Alarm, is_raised: bool) -> None: ...


def next_state(
    spool: SpoolState, *, is_stuck: bool, lag_ms: int | None, behind_ms: int
) -> PumpState:
    """The state that follows from the facts. Pure.

    `is_stuck`: an outage, or something parked. `lag_ms`: age of the oldest undelivered record;
    None: there is none that is known of.
    """
    if spool is SpoolState.FAILED:
        return PumpState.FAILED
    if spool is SpoolState.FULL:
        return PumpState.FULL
    if is_stuck:
        return PumpState.SPOOLING
    if lag_ms is not None and lag_ms > behind_ms:
        return PumpState.RECOVERING
    return PumpState.HEALTHY
