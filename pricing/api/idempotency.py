"""Answers by `Idempotency-Key`: a repeat gets the first answer, and nothing happens twice."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol


class KeyReused(Exception):
    """The key came with another request before."""


class IdempotentAnswers(Protocol):
    """Runs work once per key and remembers what it answered."""

    async def once(
        self, key: str, fingerprint: bytes, work: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        """Return the answer of the first call with this key.

        Calls that come while the first is under way share its outcome. An error is passed on
        and not remembered. Raises `KeyReused` when the fingerprint is not the first call's.
        """
        ...


class RecentAnswers:
    """Remembers in this process, up to a count, a size and an age; the oldest go first.

    So a repeat is safe only where it reaches the same process, before a restart.
    """

    def __init__(
        self,
        *,
        max_answers: int = 10_000,
        max_bytes: int = 16_777_216,
        max_age_s: float = 86_400,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._max_age_s = max_age_s
        self._clock = clock
        self._bytes = 0
        self._done: OrderedDict[str, _Done] = OrderedDict()
        self._under_way: dict[str, _UnderWay] = {}

    async def once(
        self, key: str, fingerprint: bytes, work: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        self._forget_old()
        known = self._done.get(key) or self._under_way.get(key)
        if known is None:
            task = asyncio.ensure_future(work())
            known = self._under_way[key] = _UnderWay(fingerprint, task)
            task.add_done_callback(lambda _: self._settle(key))
        elif known.fingerprint != fingerprint:
            raise KeyReused
        if isinstance(known, _Done):
            return known.answer
        # Shielded: a caller who goes away must not take the others' answer along.
        return await asyncio.shield(known.task)

    def __len__(self) -> int:
        return len(self._done)

    def _settle(self, key: str) -> None:
        under_way = self._under_way.pop(key)
        task = under_way.task
        if task.cancelled() or task.exception() is not None:
            return
        answer = task.result()
        self._done[key] = _Done(under_way.fingerprint, answer, self._clock())
        self._bytes += len(answer)
        while len(self._done) > self._max_answers or self._bytes > self._max_bytes:
            self._forget_oldest()

    def _forget_old(self) -> None:
        horizon_s = self._clock() - self._max_age_s
        while self._done and next(iter(self._done.values())).at_s <= horizon_s:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, done = self._done.popitem(last=False)
        self._bytes -= len(done.answer)


@dataclass(frozen=True, slots=True)
class _Done:
    fingerprint: bytes
    answer: bytes
    at_s: float


@dataclass(frozen=True, slots=True)
class _UnderWay:
    fingerprint: bytes
    task: asyncio.Future[bytes]
