"""Ticks: instants of event time, a fixed distance apart, at which every zone gets a state.

Pure integer arithmetic on epoch milliseconds. An event is *visible* at a tick T when it had
happened by T and had arrived by T + grace. The rule looks at the event alone, so one that is
late, early, replayed or out of order needs no rule of its own.
"""

from __future__ import annotations

from zlib import crc32

CLOSING_MARGIN_MS = 50
"""Waited beyond the grace, so that a record stamped just before the cut can be seen."""

FUTURE_TOLERANCE_MS = 5_000
"""Clocks differ; a date further ahead of its arrival than this is a wrong clock."""

_MINUTE_MS = 60_000


def event_time(occurred_ms: int, arrived_ms: int) -> int:
    """When an event happened, as far as it can be believed.

    Nothing happens after it arrived, so a clock that is fast does no harm.
    """
    return min(occurred_ms, arrived_ms)


def is_future(occurred_ms: int, arrived_ms: int) -> bool:
    """Whether an event says that it happens well after it arrived."""
    return occurred_ms > arrived_ms + FUTURE_TOLERANCE_MS


def first_tick(event_ms: int, arrived_ms: int, *, tick_ms: int, grace_ms: int) -> int:
    """The first tick at which an event of this event time and arrival is visible."""
    return -(-max(event_ms, arrived_ms - grace_ms) // tick_ms) * tick_ms


def last_tick(event_ms: int, *, window_ms: int, tick_ms: int) -> int:
    """The last tick T whose window T - window < event time <= T holds the event."""
    return (event_ms + window_ms - 1) // tick_ms * tick_ms


def newest_closed_tick(now_ms: int, *, tick_ms: int, grace_ms: int) -> int:
    """The newest tick that no event can join any more at this wall time."""
    return (now_ms - grace_ms - CLOSING_MARGIN_MS) // tick_ms * tick_ms


def is_full_snapshot_due(zone_id: str, at_ms: int, *, tick_ms: int) -> bool:
    """Whether a zone is due at this tick although nothing changed.

    Each zone is due once a minute, or a little more often where the tick does not divide a
    minute. A checksum of its id says when, which spreads the zones over the minute.
    """
    turns = max(1, _MINUTE_MS // tick_ms)
    return crc32(zone_id.encode()) % turns == at_ms // tick_ms % turns
