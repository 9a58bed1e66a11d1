"""A breaker's states, a permit, and what observers are told. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from fallback.breaker.window import Counts


class State(StrEnum):
    """Where a breaker is. The last one is an operator's."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"
    FORCED_OPEN = "FORCED_OPEN"
    """Admits nothing."""


class Permit(NamedTuple):
    """Leave to make one call."""

    generation: int
    started_s: float
    probe: int
    """Number of the probe; 0 for an ordinary call."""


class Transition(NamedTuple):
    """One change of state, in the order in which they happened."""

    old: State
    new: State
    at_s: float
    counts: Counts
    """What the window held at the moment of the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What an observer may know."""

    state: State
    generation: int
    counts: Counts
    successes_total: int
    failures_total: int
    slow_total: int
    rejected_total: int
    late_total: int
    """Results dropped because their generation, or their lease, had ended."""
    leases_expired_total: int
    last_change_s: float
    retry_after_s: float | None
