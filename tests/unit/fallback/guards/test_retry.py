import asyncio
from itertools import islice

import pytest
import stamina

from fallback.guards.deadline import request_deadline
from fallback.guards.retry import BudgetConfig, Growth, Retry, RetryBudget, RetryPolicy


class Clock:
    now_s = 1_000.0

    def __call__(self):
        return self.now_s


class Recorder:
    def __init__(self):
        self.seen = []

    def on_retry(self, name, operation, attempt, wait_s):
        self.seen.append((name, operation, attempt, wait_s))


class Flaky:
    """Fails so many times, then answers 7."""

    def __init__(self, failures, error=OSError):
        self.left = failures
        self.error = error
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        self.left -= 1
        if self.left >= 0:
            raise self.error("refused")
        return 7


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def budget(clock):
    return RetryBudget(now_s=clock)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def retry(budget, recorder):
    policy = RetryPolicy(initial_wait_s=0.001, longest_wait_s=0.002)
    return Retry(
        "database",
        policy,
        budget,
        is_passing=lambda error: isinstance(error, OSError),
        observers=(recorder,),
        random=lambda: 0.5,
    )


@pytest.mark.parametrize(
    ("growth", "waits_ms"),
    [
        (Growth.EXPONENTIAL, [100, 200, 400, 800, 1600, 2000, 2000]),
        (Growth.LINEAR, [100, 200, 300, 400, 500, 600, 700]),
        (Growth.FIXED, [100] * 7),
        (Growth.FIBONACCI, [100, 100, 200, 300, 500, 800, 1300]),
    ],
)
def test_waits_grow_as_the_policy_says(growth, waits_ms):
    policy = RetryPolicy(growth=growth, longest_wait_s=2.0)
    longest = [round(1000 * wait_s) for wait_s in islice(policy.longest_waits_s(), 7)]
    assert longest == waits_ms


def test_a_wait_is_drawn_from_all_of_its_range_and_one_fewer_than_attempts():
    draws = iter([0.0, 0.5, 0.999])
    policy = RetryPolicy(attempts=4)
    waits = list(policy.waits_s(lambda: next(draws)))
    assert waits == pytest.approx([0, 0.1, 0.3996])
    assert list(RetryPolicy(attempts=3, is_jittered=False).waits_s(lambda: 0.0)) == [0.1, 0.2]


def test_a_schedule_never_overflows():
    policy = RetryPolicy(factor=10.0)
    assert list(islice(policy.longest_waits_s(), 2000))[-1] == 5.0


async def test_a_passing_error_is_tried_again(retry, recorder):
    call = Flaky(2)
    assert await retry.call("write", call) == 7
    assert recorder.seen == [("database", "write", 2, 0.0005), ("database", "write", 3, 0.001)]


async def test_the_last_error_comes_out_when_attempts_are_used_up(retry, budget):
    call = Flaky(9)
    before = budget.balance
    with pytest.raises(OSError, match="refused"):
        await retry.call("write", call)
    assert call.calls == 3
    assert before - budget.balance == pytest.approx(1.9), "two retries, less a tenth for the call"


async def test_an_error_for_good_is_not_tried_again(retry):
    call = Flaky(1, error=ValueError)
    with pytest.raises(ValueError, match="refused"):
        await retry.call("write", call)
    assert call.calls == 1


async def test_a_cancelled_wait_ends_the_call(budget):
    call = Flaky(9)
    policy = RetryPolicy(initial_wait_s=60, longest_wait_s=60, is_jittered=False)
    retry = Retry("database", policy, budget, is_passing=lambda _: True)
    task = asyncio.create_task(retry.call("write", call))
    while not call.calls:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert call.calls == 1


async def test_a_cancelled_call_is_not_tried_again(budget):
    calls = []

    async def hang():
        calls.append(1)
        await asyncio.Event().wait()

    retry = Retry("database", RetryPolicy(), budget, is_passing=lambda _: True)
    task = asyncio.create_task(retry.call("write", hang))
    while not calls:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert calls == [1]


async def test_a_retry_that_the_deadline_would_not_see_is_not_begun(budget):
    call = Flaky(9)
    policy = RetryPolicy(initial_wait_s=60, longest_wait_s=60, is_jittered=False)
    retry = Retry("database", policy, budget, is_passing=lambda _: True)
    with request_deadline(1.0), pytest.raises(OSError, match="refused"):
        await retry.call("write", call)
    assert call.calls == 1


async def test_calls_that_overlap_keep_their_own_schedules(retry):
    calls = [Flaky(2) for _ in range(5)]
    answers = await asyncio.gather(*(retry.call("write", call) for call in calls))
    assert answers == [7] * 5
    assert [call.calls for call in calls] == [3] * 5


async def test_without_budget_the_first_error_comes_out(clock, recorder):
    budget = RetryBudget(BudgetConfig(share=0, floor_per_s=0), now_s=clock)
    retry = Retry("x", RetryPolicy(), budget, is_passing=lambda _: True, observers=(recorder,))
    call = Flaky(1)
    with pytest.raises(OSError, match="refused"):
        await retry.call("write", call)
    assert (call.calls, recorder.seen, budget.refused_total) == (1, [], 1)


async def test_the_librarys_switch_for_tests_holds(budget):
    retry = Retry("x", RetryPolicy(initial_wait_s=5), budget, is_passing=lambda _: True)
    with stamina.set_testing(True, attempts=2):
        assert await retry.call("write", Flaky(1)) == 7


def test_a_budget_is_a_floor_and_a_share_of_the_calls(clock, budget):
    assert budget.balance == 30
    for _ in range(100):
        budget.note_call()
    assert budget.balance == pytest.approx(40)
    assert [budget.take() for _ in range(41)] == [True] * 40 + [False]
    assert budget.refused_total == 1


def test_a_budget_asks_for_its_share_each_time_and_none_is_none_at_all(clock):
    shares = [0.1]
    budget = RetryBudget(now_s=clock, share=lambda: shares[0])
    for _ in range(100):
        budget.note_call()
    assert budget.balance == pytest.approx(40)
    shares[0] = 0.05
    assert budget.balance == pytest.approx(35)
    shares[0] = 0
    assert (budget.balance, budget.take()) == (0, False)


def test_a_budget_forgets_what_is_older_than_its_window(clock, budget):
    for _ in range(100):
        budget.note_call()
    clock.now_s += 5
    for _ in range(40):
        budget.take()
    clock.now_s += 5
    assert budget.balance == -10, "the calls are forgotten, the retries are not"
    assert not budget.take()
    clock.now_s += 5
    assert budget.balance == 30


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        (RetryPolicy, "attempts", 0),
        (RetryPolicy, "initial_wait_s", 0),
        (RetryPolicy, "factor", 0.5),
        (RetryPolicy, "longest_wait_s", 0.05),
        (BudgetConfig, "share", -1),
        (BudgetConfig, "floor_per_s", -1),
        (BudgetConfig, "ttl_s", 0),
    ],
)
def test_a_wrong_configuration_names_field_and_value(config, field, value):
    with pytest.raises(ValueError, match=f"{field}={value}"):
        config(**{field: value})
