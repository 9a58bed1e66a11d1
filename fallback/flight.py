"""Single flight and batching of lookups by key, in one structure.

Lookups that are asked for in one turn of the event loop travel in one fetch; a lookup of a key
that is already under way joins it. The fetch runs in a task of its own that no caller can
cancel: a caller who goes away leaves the others their answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Fetch = Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]


class BatchedFlight(Generic[K, V]):
    """Looks keys up through `fetch`, at most once at a time for each.

    `fetch` must bound itself in time; its exception goes to every caller of the batch. A batch
    holds at most `largest_batch` keys. `close` cancels what is under way.
    """

    def __init__(self, fetch: Fetch[K, V], *, largest_batch: int = 500) -> None:
        self._fetch = fetch
        self._largest_batch = largest_batch
        self._next: dict[K, asyncio.Future[V | None]] = {}
        self._under_way: dict[K, asyncio.Future[V | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.followers_total = 0
        """Lookups that joined one already asked for."""

    async def get(self, key: K) -> V | None:
        """The value of a key; None where the fetch had none. Raises what the fetch raised."""
        return await asyncio.shield(self._ask(key))

    async def get_many(self, keys: Sequence[K]) -> dict[K, V]:
        """The values of those keys that have one."""
        asked = {key: self._ask(key) for key in keys}
        values = await asyncio.gather(*(asyncio.shield(answer) for answer in asked.values()))
        return {key: value for key, value in zip(asked, values, strict=True) if value is not None}

    async def close(self) -> None:
        """Cancel fetches under way; their callers are cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ask(self, key: K) -> asyncio.Future[V | None]:
        answer = self._under_way.get(key) or self._next.get(key)
        if answer is not None:
            self.followers_total += 1
            return answer
        loop = asyncio.get_running_loop()
        if not self._next:
            loop.call_soon(self._depart)
        answer = loop.create_future()
        # A failure that every caller has turned away from is nobody's to retrieve.
        answer.add_done_callback(_mark_retrieved)
        self._next[key] = answer
        return answer

    def _depart(self) -> None:
        """Start the fetches of what was asked for in this turn."""
        asked = list(self._next.items())
        self._next = {}
        self._under_way.update(asked)
        for start in range(0, len(asked), self._largest_batch):
            batch = dict(asked[start : start + self._largest_batch])
            task = asyncio.get_running_loop().create_task(self._fly(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _fly(self, batch: dict[K, asyncio.Future[V | None]]) -> None:
        try:
            values = await self._fetch(tuple(batch))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers' answer
            for answer in batch.values():
                if not answer.done():
                    answer.set_exception(error)
        else:
            for key, answer in batch.items():
                if not answer.done():
                    answer.set_result(values.get(key))
        finally:
            for key, answer in batch.items():
                self._under_way.pop(key, None)
                answer.cancel()


def _mark_retrieved(answer: asyncio.Future[V | None]) -> None:
    if not answer.cancelled():
        answer.exception()
