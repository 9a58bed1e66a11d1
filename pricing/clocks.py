"""The wall clock, and the clock by which states age: the wall's at the start, steady from then on.

A state carries the wall time at which it was true, and its age must not jump when somebody, or
a time server, sets this machine's clock. So the wall is read once, and time then passes as
the machine's steady clock says. What arrives tells which of the two is right when they differ:
a state cannot be from the future, and what is made every few seconds is not an hour old.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

_log = structlog.get_logger(__name__)

_TOLERANCE_MS = 2_000
"""Clocks of a fleet differ by less."""
_LIVE_MS = 15_000
"""At this age a state still counts as made just now."""


def now_ms() -> int:
    """Wall clock, epoch ms. Only wiring hands it on; everything else takes it."""
    return time.time_ns() // 1_000_000


def wall_is_right(own_ms: int, wall_ms: int, newest_ms: int) -> bool:
    """Whether the wall clock explains a state that was true at `newest_ms` better than ours."""
    own_age_ms, wall_age_ms = own_ms - newest_ms, wall_ms - newest_ms
    # The second: by the wall the state would lie in the future, so the wall is wrong.
    if abs(own_age_ms - wall_age_ms) <= _TOLERANCE_MS or wall_age_ms < -_TOLERANCE_MS:
        return False
    is_ahead_of_us = own_age_ms < -_TOLERANCE_MS
    return is_ahead_of_us or wall_age_ms <= _LIVE_MS < own_age_ms


class StateClock:
    """Epoch milliseconds for ages. `elapsed_s` is steady and counts a suspended machine too."""

    def __init__(self, wall_ms: Callable[[], int], elapsed_s: Callable[[], float]) -> None:
        self._wall_ms = wall_ms
        self._elapsed_s = elapsed_s
        self._base_ms = 0
        self._adopt(wall_ms())
        self.steps_total = 0
        """Times that the wall clock was taken over after the start."""

    def now_ms(self) -> int:
        return self._base_ms + int(self._elapsed_s() * 1000)

    def not_before(self, moment_ms: int) -> None:
        """Move on to a moment that has passed: something that was written then was read."""
        if moment_ms > self.now_ms():
            self._adopt(moment_ms)

    def settle(self, newest_ms: int) -> None:
        """Compare both clocks with the newest state that just arrived; adopt the wall if right."""
        own_ms, wall_ms = self.now_ms(), self._wall_ms()
        if wall_is_right(own_ms, wall_ms, newest_ms):
            _log.warning("wall clock taken over", step_ms=wall_ms - own_ms)
            self._adopt(wall_ms)
            self.steps_total += 1

    def _adopt(self, now_ms: int) -> None:
        self._base_ms = now_ms - int(self._elapsed_s() * 1000)
