"""Answers by key that outlive the process."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from pricing.writing.idempotency import Begun, IdempotencyStore, KeyReused, Remembered
from pricing.writing.idempotency_journal import opened_journal


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_767_323_045.678

    def __call__(self) -> float:
        return self.now_s


class Work:
    """Makes three ids; fails or waits as told."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.ids: list[list[str]] = []

    async def __call__(self, begun: Begun) -> bytes:
        self.ids.append([begun.event_id(number) for number in range(3)])
        if self.failure is not None:
            raise self.failure
        return ",".join(self.ids[-1]).encode()


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "answers" / "0.db"


@asynccontextmanager
async def durable_answers(
    path: Path, *, now_s: Clock, **limits: float
) -> AsyncIterator[IdempotencyStore]:
    async with opened_journal(path) as (journal, known):
        yield IdempotencyStore(now_s=now_s, journal=journal, known=known, **limits)


class CutOff:
    """A journal whose process dies before it writes anything but what it waited for."""

    def __init__(self, journal) -> None:
        self.begin = journal.begin
        self.forget = journal.forget

    async def finish(self, _remembered: Remembered) -> None:
        """Write nothing."""


async def test_answer_outlives_a_restart(path):
    work = Work()
    async with durable_answers(path, now_s=Clock()) as answers:
        first = await answers.once("k", b"f", work)
    async with durable_answers(path, now_s=Clock()) as answers:
        assert await answers.once("k", b"f", work) == first
        with pytest.raises(KeyReused):
            await answers.once("k", b"g", work)
    assert len(work.ids) == 1


async def test_work_that_a_crash_cut_off_makes_the_same_ids_again(path):
    clock, work = Clock(), Work()
    async with opened_journal(path) as (journal, _):
        answers = IdempotencyStore(now_s=clock, journal=CutOff(journal))
        first = await answers.once("k", b"f", work)
    clock.now_s += 100
    async with durable_answers(path, now_s=clock) as answers:
        assert await answers.once("k", b"f", work) == first
    assert work.ids[0] == work.ids[1]


async def test_failed_work_makes_the_same_ids_again_before_and_after_a_restart(path):
    work = Work(OSError("outcome unknown"))
    clock = Clock()
    for _ in range(2):
        async with durable_answers(path, now_s=clock) as answers:
            for _ in range(2):
                with pytest.raises(OSError, match="unknown"):
                    await answers.once("k", b"f", work)
                clock.now_s += 1
    assert len({tuple(ids) for ids in work.ids}) == 1


async def test_ids_are_uuid7_of_the_first_moment_and_differ_by_key_body_and_place(path):
    clock, work = Clock(), Work()
    async with durable_answers(path, now_s=clock) as answers:
        for key, body in (("k", b"f"), ("l", b"f"), ("m", b"g")):
            await answers.once(key, body, work)
    ids = [UUID(identity) for ids in work.ids for identity in ids]
    assert len(set(ids)) == 9
    assert {identity.version for identity in ids} == {7}
    assert {identity.variant for identity in ids} == {"specified in RFC 4122"}
    assert {identity.int >> 80 for identity in ids} == {int(clock.now_s * 1000)}


async def test_begin_is_on_the_disk_before_the_work(path):
    seen = []

    async def look(_begun: Begun) -> bytes:
        with sqlite3.connect(path) as other:
            seen.extend(other.execute("SELECT key, answer FROM answers"))
        other.close()
        return b"answer"

    async with durable_answers(path, now_s=Clock()) as answers:
        await answers.once("k", b"f", look)
    assert seen == [("k", None)]


async def test_bounds_hold_on_the_disk_too(path):
    clock = Clock()
    async with durable_answers(path, now_s=clock, max_answers=10) as answers:
        for number in range(50):
            clock.now_s += 1
            await answers.once(str(number), b"f", Work())
    async with durable_answers(path, now_s=clock, max_age_s=5) as answers:
        assert len(answers) == 10
        await answers.once("new", b"f", Work())
        assert len(answers) == 6
    with sqlite3.connect(path) as other:
        assert other.execute("SELECT count(*) FROM answers").fetchone() == (6,)
    other.close()


async def test_many_at_once_share_transactions(path):
    async with durable_answers(path, now_s=Clock()) as answers:
        works = [Work() for _ in range(500)]
        await asyncio.gather(*(answers.once(str(n), b"f", work) for n, work in enumerate(works)))
        assert all(len(work.ids) == 1 for work in works)
    async with durable_answers(path, now_s=Clock()) as answers:
        assert len(answers) == 500


async def test_damaged_file_is_set_aside(path):
    path.parent.mkdir()
    path.write_bytes(b"no database at all" * 100)
    async with durable_answers(path, now_s=Clock()) as answers:
        await answers.once("k", b"f", Work())
    async with durable_answers(path, now_s=Clock()) as answers:
        assert len(answers) == 1
    assert path.with_suffix(".broken").exists()


async def test_disk_that_fails_costs_only_the_memory_beyond_a_restart(tmp_path):
    (tmp_path / "file").write_text("not a directory")
    async with durable_answers(tmp_path / "file" / "0.db", now_s=Clock()) as answers:
        work = Work()
        first = await answers.once("k", b"f", work)
        assert await answers.once("k", b"f", work) == first
        assert len(work.ids) == 1
