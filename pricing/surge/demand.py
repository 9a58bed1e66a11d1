"""Demand: how many rides were asked for in each zone, within a window that ends at the tick.

A request may arrive in several copies. At a tick, the earliest of the copies that are visible
*and* inside the window names the zone. A copy is both from its first tick up to its last, so a
request is a row of *runs*: stretches of ticks, none overlapping, each with the copy that is in
force. Laying a new copy over the runs keeps the earlier of two copies wherever they meet; the
result is the same for every order of arrival.

Counting adds up differences: a run adds one to its zone at its first tick and takes it away
after its last.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pricing.surge.events import Disposition
from pricing.surge.tick_schedule import TickSchedule
from pricing.surge.ticks import last_tick


class Copy(NamedTuple):
    """One record of a request. Copies compare by time, then event id; the least is in force."""

    event_ms: int
    event_id: str
    zone_id: str


class _Run(NamedTuple):
    start_ms: int
    stop_ms: int
    """The first tick after the run."""
    copy: Copy


class _Due:
    """What changes in demand at one tick."""

    __slots__ = ("changes", "ending")

    def __init__(self) -> None:
        self.changes: dict[str, int] = defaultdict(int)
        self.ending: list[str] = []
        """Requests that may be in no window from this tick on."""


class DemandWindow:
    """Requests of one city by zone. Remembers a request until its last run has ended."""

    def __init__(self, *, window_ms: int, tick_ms: int) -> None:
        self._window_ms = window_ms
        self._tick_ms = tick_ms
        self._schedule = TickSchedule(_Due, tick_ms=tick_ms)
        self._runs: dict[str, tuple[_Run, ...]] = {}
        self._demand: dict[str, int] = {}

    def add(self, request_id: str, copy: Copy, *, first_ms: int) -> Disposition:
        """Take one copy; `first_ms` is the first tick at which it is visible."""
        next_ms = self._schedule.next_ms
        # Ticks that are counted stay as they are: an overdue copy counts from the next one on.
        start_ms = max(first_ms, next_ms)
        stop_ms = self._tick_ms + last_tick(
            copy.event_ms, window_ms=self._window_ms, tick_ms=self._tick_ms
        )
        if stop_ms <= start_ms:
            return Disposition.LATE
        held = self._runs.get(request_id, ())
        runs = _lay_over(held, _Run(start_ms, stop_ms, copy))
        if runs == held:
            return Disposition.DUPLICATE
        self._replace(request_id, held, runs)
        overdue = Disposition.OVERDUE if first_ms < next_ms else Disposition(0)
        # One event id with another time or zone: a fast clock, or a broken producer. The runs are
        # changed all the same, so that counts do not depend on which came first.
        if any(run.copy.event_id == copy.event_id for run in held):
            return Disposition.DUPLICATE | overdue
        return Disposition.COUNTED | overdue

    def count(self, tick_ms: int) -> dict[str, int]:
        """Requests by zone at a tick; zones with none are absent. Ticks must rise."""
        for due in self._schedule.due(tick_ms):
            for zone_id, change in due.changes.items():
                self._shift(zone_id, change)
            for request_id in due.ending:
                self._forget(request_id, tick_ms)
        return dict(self._demand)

    def _replace(self, request_id: str, held: Sequence[_Run], runs: tuple[_Run, ...]) -> None:
        self._runs[request_id] = runs
        # The changes that were planned for the held runs are taken back first. Their ticks may be
        # counted already: `TickSchedule` then hands both changes out with the next tick, where the
        # part that lies in the past cancels out.
        self._shift_at_bounds(held, -1)
        self._shift_at_bounds(runs, +1)
        if not held or held[-1].stop_ms != runs[-1].stop_ms:
            self._schedule.at(runs[-1].stop_ms).ending.append(request_id)

    def _shift_at_bounds(self, runs: Iterable[_Run], change: int) -> None:
        for run in runs:
            self._schedule.at(run.start_ms).changes[run.copy.zone_id] += change
            self._schedule.at(run.stop_ms).changes[run.copy.zone_id] -= change

    def _shift(self, zone_id: str, change: int) -> None:
        count = self._demand.get(zone_id, 0) + change
        if count:
            self._demand[zone_id] = count
        else:
            self._demand.pop(zone_id, None)

    def _forget(self, request_id: str, tick_ms: int) -> None:
        # A copy that came since may have added a run that ends later, with an entry of its own.
        runs = tuple(run for run in self._runs.get(request_id, ()) if run.stop_ms > tick_ms)
        if runs:
            self._runs[request_id] = runs
        else:
            self._runs.pop(request_id, None)


def _lay_over(held: Sequence[_Run], new: _Run) -> tuple[_Run, ...]:
    """The runs with a new one among them: where two overlap, the earlier copy is in force.

    Held runs are in order and do not overlap, so one walk from left to right does it. Each run
    is cut at the bounds of the new one into at most three parts; parts that are empty are left out.
    """
    if not held:
        return (new,)
    runs: list[_Run] = []
    # Up to here every tick of the new run is laid out already.
    covered_ms = new.start_ms
    for run in held:
        # The gap before this run is the new copy's alone.
        _append(runs, covered_ms, min(run.start_ms, new.stop_ms), new.copy)
        # What lies before the new run, then where both are, then what lies after it.
        _append(runs, run.start_ms, min(run.stop_ms, new.start_ms), run.copy)
        both_from_ms, both_to_ms = max(run.start_ms, new.start_ms), min(run.stop_ms, new.stop_ms)
        _append(runs, both_from_ms, both_to_ms, min(run.copy, new.copy))
        _append(runs, max(run.start_ms, new.stop_ms), run.stop_ms, run.copy)
        covered_ms = max(covered_ms, run.stop_ms)
    _append(runs, covered_ms, new.stop_ms, new.copy)
    return tuple(runs)


def _append(runs: list[_Run], start_ms: int, stop_ms: int, copy: Copy) -> None:
    """Add a run unless it is empty; one that goes on is made longer."""
    if start_ms >= stop_ms:
        return
    # One run, not two that touch: only then does a repeat leave the runs equal to the held ones.
    if runs and runs[-1].stop_ms == start_ms and runs[-1].copy == copy:
        start_ms = runs.pop().start_ms
    runs.append(_Run(start_ms, stop_ms, copy))
