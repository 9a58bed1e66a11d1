"""What a city's window says to one record."""

from __future__ import annotations

from enum import Flag, auto


class Admission(Flag):
    """What became of one record.

    Exactly one of COUNTED, DUPLICATE, LATE and UNKNOWN_ZONE is set; OVERDUE and FUTURE come
    beside it. Iterating gives the single flags, each with a `name`.
    """

    COUNTED = auto()
    """Taken: no repeat, and in time for a tick to come."""
    DUPLICATE = auto()
    """A repeat: the same event once more, or a copy of a request that changes no count."""
    LATE = auto()
    """No tick to come can see it inside a window; it is dropped."""
    UNKNOWN_ZONE = auto()
    """The city has no such zone; it is dropped."""
    OVERDUE = auto()
    """Ticks that should have seen it are counted already; it counts from the next one on."""
    FUTURE = auto()
    """It says that it happened well after it arrived; the arrival stands in."""
