"""Makes the lanes travel together under load."""

from __future__ import annotations

import asyncio

from fallback.clock import Monotonic

_BOARDING_S = 0.002
"""Who comes so soon after a round began is still part of it."""


class BatchingWindow:
    """A round begins at once after a pause, and else `round_s` after the one before."""

    def __init__(self, round_s: float, now_s: Monotonic) -> None:
        self._round_s = round_s
        self._now_s = now_s
        self._last_s = float("-inf")

    async def join(self) -> None:
        """Wait for the next round."""
        now_s = self._now_s()
        if now_s - self._last_s < _BOARDING_S:
            return
        wait_s = self._last_s + self._round_s - now_s
        if wait_s <= 0:
            self._last_s = now_s
            return
        begins_s = now_s + wait_s
        await asyncio.sleep(wait_s)
        self._last_s = max(self._last_s, begins_s)
