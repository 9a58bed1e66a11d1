"""Lets the lanes send at the same moments under load, so that they share requests."""

from __future__ import annotations

import asyncio

from fallback.clock import Monotonic

_OPEN_S = 0.002
"""Who comes so soon after a window began still sends in it."""


class BatchingWindow:
    """A window begins at once after a pause, and else `window_s` after the one before."""

    def __init__(self, window_s: float, now_s: Monotonic) -> None:
        self._window_s = window_s
        self._now_s = now_s
        self._last_s = float("-inf")

    async def join(self) -> None:
        """Wait for the next window."""
        now_s = self._now_s()
        if now_s - self._last_s < _OPEN_S:
            return
        wait_s = self._last_s + self._window_s - now_s
        if wait_s <= 0:
            self._last_s = now_s
            return
        begins_s = now_s + wait_s
        await asyncio.sleep(wait_s)
        self._last_s = max(self._last_s, begins_s)
