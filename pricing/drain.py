"""The switch by which a process ends: whoever waits for it finishes what is under way."""

from __future__ import annotations

import asyncio


class Drain:
    """Says that the process is on its way out. Once begun it does not end."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    def begin(self) -> None:
        self._begun.set()

    @property
    def is_draining(self) -> bool:
        return self._begun.is_set()

    async def wait(self) -> None:
        """Return once draining has begun: a long stream watches it, to end in good order."""
        await self._begun.wait()
