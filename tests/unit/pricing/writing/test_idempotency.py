from __future__ import annotations

import asyncio

import pytest

from pricing.writing.idempotency import IdempotencyStore, KeyReused


class Work:
    """Counts its runs; ends when told, if it is to wait."""

    def __init__(self, answer=b"answer", failure=None):
        self.answer = answer
        self.failure = failure
        self.runs = 0
        self.begun = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self, begun):
        self.runs += 1
        self.begun.append(begun)
        await self.may_end.wait()
        if self.failure is not None:
            raise self.failure
        return self.answer


async def test_repeat_gets_the_first_answer_and_does_no_work():
    answers, work = IdempotencyStore(), Work()
    assert await answers.once("k", b"f", work) == b"answer"
    assert await answers.once("k", b"f", Work(b"other")) == b"answer"
    assert work.runs == 1


async def test_other_fingerprint_is_refused_also_while_the_first_is_under_way():
    answers, work = IdempotencyStore(), Work()
    work.may_end.clear()
    first = asyncio.create_task(answers.once("k", b"f", work))
    await asyncio.sleep(0)
    with pytest.raises(KeyReused):
        await answers.once("k", b"g", work)
    work.may_end.set()
    await first
    with pytest.raises(KeyReused):
        await answers.once("k", b"g", work)
    assert work.runs == 1


async def test_calls_at_once_share_one_run():
    answers, work = IdempotencyStore(), Work()
    results = await asyncio.gather(*(answers.once("k", b"f", work) for _ in range(10)))
    assert (set(results), work.runs) == ({b"answer"}, 1)


async def test_caller_who_goes_away_does_not_take_the_answer_along():
    answers, work = IdempotencyStore(), Work()
    work.may_end.clear()
    first, second = [asyncio.create_task(answers.once("k", b"f", work)) for _ in range(2)]
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    work.may_end.set()
    assert (await second, work.runs) == (b"answer", 1)
    assert await answers.once("k", b"f", work) == b"answer"


async def test_failure_reaches_all_who_wait_and_is_not_remembered():
    answers, work = IdempotencyStore(), Work(failure=OSError("down"))
    results = await asyncio.gather(
        *(answers.once("k", b"f", work) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [OSError] * 3
    work.failure = None
    assert await answers.once("k", b"f", work) == b"answer"
    assert work.runs == 2


@pytest.mark.parametrize("bound", [{"max_answers": 2}, {"max_bytes": 12}])
async def test_oldest_answers_go_when_a_bound_is_reached(bound):
    answers, work = IdempotencyStore(**bound), Work()
    for key in "abc":
        await answers.once(key, b"f", work)
    assert len(answers) == 2
    await answers.once("c", b"f", work)
    assert work.runs == 3
    await answers.once("a", b"f", work)
    assert work.runs == 4


async def test_answer_is_forgotten_at_its_age():
    now_s = 0.0
    answers, work = IdempotencyStore(max_age_s=10, now_s=lambda: now_s), Work()
    await answers.once("k", b"f", work)
    now_s = 9.9
    await answers.once("k", b"f", work)
    assert work.runs == 1
    now_s = 10.0
    await answers.once("k", b"f", work)
    assert work.runs == 2
