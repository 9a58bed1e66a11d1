"""A bound on what is under way at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class ByteBudget:
    """So many bytes, first come, first served. What is larger than all of it goes alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Hold so many bytes for the block; waits for them."""
        await self._take(size)
        try:
            yield
        finally:
            self._taken -= size
            self._admit()

    async def _take(self, size: int) -> None:
        if not self._queue and self._fits(size):
            self._taken += size
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._taken -= size
            else:
                with suppress(ValueError):
                    self._queue.remove((size, turn))
            self._admit()
            raise

    def _fits(self, size: int) -> bool:
        return not self._taken or self._taken + size <= self._size

    def _admit(self) -> None:
        while self._queue and self._fits(self._queue[0][0]):
            size, turn = self._queue.popleft()
            if not turn.done():
                self._taken += size
                turn.set_result(None)
