"""Single flight and batching of lookups by key, in one structure.

Lookups that are asked for in one turn of the event loop travel in one fetch; a lookup of a key
that is already under way joins it. The fetch runs in a task of its own that no caller can
cancel: a caller who goes away leaves the others their answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextvars import Context
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")


class Landed(NamedTuple, Generic[R]):
    """What a lookup gets: the result of the whole fetch that its key was part of."""

    result: R
    is_joined: bool
    """Somebody else had asked for the key already."""


class BatchedFlight(Generic[K, R]):
    """Looks keys up through `fetch`, at most once at a time for each.

    `fetch` must bound itself in time and give one result for all of its keys; what it raises
    goes to every caller. A fetch gets at most `largest_batch` keys, and runs in an empty
    context: nothing of the caller that happened to be first (a deadline, a request id) holds
    for the others. `close` cancels what is under way.
    """

    def __init__(
        self, fetch: Callable[[Sequence[K]], Awaitable[R]], *, largest_batch: int = 500
    ) -> None:
        if largest_batch < 1:
            raise ValueError(f"largest_batch={largest_batch!r} is out of range")
        self._fetch = fetch
        self._largest_batch = largest_batch
        self._boarding: _Batch[K, R] | None = None
        self._batches: dict[K, _Batch[K, R]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.followers_total = 0
        """Lookups that joined one already asked for."""
        self.fetches_total = 0

    async def get(self, key: K) -> Landed[R]:
        """The fetch that has this key. Raises what the fetch raised."""
        batch = self._batches.get(key)
        is_joined = batch is not None
        if batch is None:
            batch = self._board(key)
        else:
            self.followers_total += 1
        return Landed(await batch.wait(), is_joined)

    async def get_many(self, keys: Iterable[K]) -> list[Landed[R]]:
        """The fetches that have these keys, each once, in no particular order."""
        asked: dict[_Batch[K, R], bool] = {}
        for key in keys:
            known = self._batches.get(key)
            if known is None:
                asked.setdefault(self._board(key), False)
            elif known not in asked:
                # A repeat within these keys is no follower, nor is the second key of a batch.
                self.followers_total += 1
                asked[known] = True
        # All of them are waited for from now on, whichever lands first.
        waits = [(batch.wait(), is_joined) for batch, is_joined in asked.items()]
        try:
            return [Landed(await wait, is_joined) for wait, is_joined in waits]
        finally:
            for wait, _ in waits:
                wait.cancel()

    async def close(self) -> None:
        """Cancel fetches under way; their callers are cancelled."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _board(self, key: K) -> _Batch[K, R]:
        batch = self._boarding
        if batch is None or len(batch.keys) >= self._largest_batch:
            loop = asyncio.get_running_loop()
            batch = self._boarding = _Batch(loop)
            loop.call_soon(self._depart, batch)
        batch.keys.append(key)
        self._batches[key] = batch
        return batch

    def _depart(self, batch: _Batch[K, R]) -> None:
        if self._boarding is batch:
            self._boarding = None
        self.fetches_total += 1
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._fly(batch), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fly(self, batch: _Batch[K, R]) -> None:
        try:
            result = await self._fetch(batch.keys)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers' answer
            batch.fail(error)
        else:
            batch.land(result)
        finally:
            for key in batch.keys:
                del self._batches[key]
            batch.cancel()


class _Batch(Generic[K, R]):
    """Keys that travel together, and those who wait for what their fetch gives.

    Each caller has a future of its own, so that one who goes away cancels nobody else's.
    """

    __slots__ = ("_loop", "_waiting", "keys")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[asyncio.Future[R]] = []
        self.keys: list[K] = []

    def wait(self) -> asyncio.Future[R]:
        answer: asyncio.Future[R] = self._loop.create_future()
        self._waiting.append(answer)
        return answer

    def land(self, result: R) -> None:
        for answer in self._waiting:
            if not answer.done():
                answer.set_result(result)

    def fail(self, error: Exception) -> None:
        for answer in self._waiting:
            if not answer.done():
                answer.set_exception(error)
                answer.exception()  # one who went away meanwhile retrieves nothing

    def cancel(self) -> None:
        """End what still waits: the fetch was cancelled."""
        for answer in self._waiting:
            answer.cancel()
