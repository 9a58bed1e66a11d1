"""Answers by `Idempotency-Key`: a repeat gets the first answer, and nothing happens twice.

Two things are remembered of a key. That work on it began, and when, before the work: from that
the ids of everything that it makes follow, so that work which has to be done again after a crash
makes the same ids, and whoever reads the events drops the repeat. And its answer, afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from streaming.events.event_types import derived_event_id


class KeyReused(Exception):
    """The key came with another request before."""


class Begun(NamedTuple):
    """When the work on a key first began, epoch ms, and what its ids are made of."""

    first_ms: int
    seed: bytes

    def event_id(self, number: int) -> str:
        """The id of the work's n-th event: a UUIDv7 that is the same each time."""
        return derived_event_id(self.first_ms, self.seed + number.to_bytes(4, "big"))


Work = Callable[[Begun], Awaitable[bytes]]


class IdempotentAnswers(Protocol):
    """Runs work once per key and remembers what it answered."""

    async def once(self, key: str, fingerprint: bytes, work: Work) -> bytes:
        """Return the answer of the first call with this key.

        Calls that come while the first is under way share its outcome. An error is passed on
        and not remembered. Raises `KeyReused` when the fingerprint is not the first call's.
        """
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is known of a key."""

    key: str
    fingerprint: bytes
    first_ms: int
    answer: bytes | None
    """None: no work on it has come to a good end."""

    @property
    def begun(self) -> Begun:
        seed = self.key.encode() + b"\0" + self.fingerprint + self.first_ms.to_bytes(8, "big")
        return Begun(self.first_ms, seed)


class IdempotencyJournal(Protocol):
    """Keeps what is remembered beyond the process. Never raises."""

    async def begin(self, remembered: Remembered) -> None:
        """Keep that work begins; durable on return."""
        ...

    async def finish(self, remembered: Remembered) -> None:
        """Keep an answer; a killed process does not lose it on return, a power cut may.

        If it gets lost, the work is done again, with the same ids.
        """
        ...

    def forget(self, key: str) -> None: ...


class IdempotencyStore:
    """Remembers up to a count, a size and an age; the oldest go first.

    Without a journal a repeat is safe only before a restart. It has to reach the same process
    either way. `now_s` is the wall clock.
    """

    def __init__(
        self,
        *,
        max_answers: int = 10_000,
        max_bytes: int = 16_777_216,
        max_age_s: float = 86_400,
        now_s: Callable[[], float] = time.time,
        journal: IdempotencyJournal | None = None,
        known: Iterable[Remembered] = (),
    ) -> None:
        self._max_answers = max_answers
        self._max_bytes = max_bytes
        self._max_age_ms = max_age_s * 1000
        self._now_s = now_s
        self._journal = journal
        self._bytes = 0
        self._known: OrderedDict[str, Remembered] = OrderedDict()
        self._under_way: dict[str, _UnderWay] = {}
        for remembered in sorted(known, key=lambda one: one.first_ms):
            self._remember(remembered)

    async def once(self, key: str, fingerprint: bytes, work: Work) -> bytes:
        self._forget_old()
        under_way = self._under_way.get(key)
        if under_way is None:
            known = self._known.get(key)
            if known is not None and known.answer is not None:
                _check(known.fingerprint, fingerprint)
                return known.answer
            under_way = self._start(key, fingerprint, known, work)
        _check(under_way.fingerprint, fingerprint)
        # Shielded: a caller who goes away must not take the others' answer along.
        return await asyncio.shield(under_way.task)

    def __len__(self) -> int:
        return len(self._known)

    def _start(
        self, key: str, fingerprint: bytes, known: Remembered | None, work: Work
    ) -> _UnderWay:
        task = asyncio.ensure_future(self._run(key, fingerprint, known, work))
        under_way = self._under_way[key] = _UnderWay(fingerprint, task)
        task.add_done_callback(lambda _: self._under_way.pop(key))
        return under_way

    async def _run(
        self, key: str, fingerprint: bytes, known: Remembered | None, work: Work
    ) -> bytes:
        if known is None or known.fingerprint != fingerprint:
            known = Remembered(key, fingerprint, int(self._now_s() * 1000), None)
            self._remember(known)
            if self._journal is not None:
                await self._journal.begin(known)
        answer = await work(known.begun)
        done = Remembered(key, fingerprint, known.first_ms, answer)
        self._remember(done)
        if self._journal is not None:
            await self._journal.finish(done)
        return answer

    def _remember(self, remembered: Remembered) -> None:
        before = self._known.get(remembered.key)
        self._known[remembered.key] = remembered
        self._bytes += _size(remembered) - (0 if before is None else _size(before))
        while len(self._known) > self._max_answers or self._bytes > self._max_bytes:
            self._forget_oldest()

    def _forget_old(self) -> None:
        horizon_ms = self._now_s() * 1000 - self._max_age_ms
        while self._known and next(iter(self._known.values())).first_ms <= horizon_ms:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        key, remembered = self._known.popitem(last=False)
        self._bytes -= _size(remembered)
        if self._journal is not None:
            self._journal.forget(key)


@dataclass(frozen=True, slots=True)
class _UnderWay:
    fingerprint: bytes
    task: asyncio.Future[bytes]


def _check(first: bytes, now: bytes) -> None:
    if first != now:
        raise KeyReused


def _size(remembered: Remembered) -> int:
    return len(remembered.answer or b"")
