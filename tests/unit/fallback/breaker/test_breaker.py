import asyncio

import pytest

from fallback.breaker import BreakerConfig, BreakerRegistry, CircuitBreaker, State
from fallback.errors import BulkheadFullError, CircuitOpenError

CONFIG = BreakerConfig(minimum_number_of_calls=3, wait_jitter=0.0)


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


class Recorder:
    def __init__(self):
        self.seen = []

    def on_state_change(self, name, transition):
        self.seen.append((transition.old.value, transition.new.value))

    def on_call(self, name, verdict, duration_s):
        self.seen.append(verdict.value)

    def on_rejected(self, name):
        self.seen.append("rejected")


class Broken:
    def on_state_change(self, name, transition):
        raise RuntimeError("hook")

    def on_call(self, name, verdict, duration_s):
        raise RuntimeError("hook")

    def on_rejected(self, name):
        raise RuntimeError("hook")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def breaker(clock, recorder):
    return CircuitBreaker("redis", CONFIG, observers=(recorder,), now_s=clock)


async def good():
    return 1


async def bad():
    raise OSError("refused")


async def opened(breaker):
    for _ in range(3):
        with pytest.raises(OSError, match="refused"):
            await breaker.call(bad)


async def test_a_call_gives_its_result(breaker, recorder):
    assert await breaker.call(good) == 1
    assert recorder.seen == ["success"]


async def test_failures_open_it_and_calls_are_then_rejected(breaker, recorder):
    await opened(breaker)
    assert breaker.state is State.OPEN
    with pytest.raises(CircuitOpenError) as caught:
        await breaker.call(good)
    assert caught.value.name == "redis"
    assert caught.value.retry_after_s == pytest.approx(1.0)
    assert recorder.seen[-3:] == [("CLOSED", "OPEN"), "failure", "rejected"]


async def test_it_closes_by_itself_once_probes_succeed(breaker, clock, recorder):
    await opened(breaker)
    clock.now_s += 1.0
    for _ in range(CONFIG.required_successes_in_half_open):
        await breaker.call(good)
    assert breaker.state is State.CLOSED
    assert ("HALF_OPEN", "CLOSED") in recorder.seen


async def test_a_fallback_answers_failures_and_rejections(breaker):
    await opened(breaker)
    seen = []
    assert await breaker.call(good, lambda error: seen.append(type(error)) or 7) == 7
    assert seen == [CircuitOpenError]


async def test_a_cancelled_call_counts_nothing(breaker):
    started = asyncio.Event()

    async def hang():
        started.set()
        await asyncio.Event().wait()

    call = asyncio.create_task(breaker.call(hang))
    await started.wait()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert breaker.snapshot().counts.calls == 0


async def test_a_timeout_outside_counts_nothing_and_inside_is_a_failure(breaker):
    async def hang():
        await asyncio.Event().wait()

    async def bounded():
        async with asyncio.timeout(0):
            await hang()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await breaker.call(hang)
    assert breaker.snapshot().counts.calls == 0
    with pytest.raises(TimeoutError):
        await breaker.call(bounded)
    assert breaker.snapshot().counts.failures == 1


async def test_a_local_rejection_inside_counts_nothing(breaker):
    async def full():
        raise BulkheadFullError("postgres", 20)

    with pytest.raises(BulkheadFullError):
        await breaker.call(full)
    assert breaker.snapshot().counts.calls == 0


async def test_hooks_that_fail_do_not_break_the_call(clock):
    breaker = CircuitBreaker("redis", CONFIG, observers=(Broken(),), now_s=clock)
    await opened(breaker)
    with pytest.raises(CircuitOpenError):
        await breaker.call(good)
    breaker.reset()
    assert await breaker.call(good) == 1


async def test_a_decorated_function_goes_through_the_breaker(breaker):
    assert await breaker(good)() == 1
    assert breaker.snapshot().successes_total == 1


def test_a_plain_function_cannot_be_decorated(breaker):
    with pytest.raises(TypeError):
        breaker(lambda: 1)


async def test_an_operator_holds_it_open_until_the_end(breaker, clock):
    breaker.force_open(for_s=30)
    with pytest.raises(CircuitOpenError) as caught:
        await breaker.call(good)
    assert caught.value.retry_after_s == pytest.approx(30)
    clock.now_s += 30
    assert await breaker.call(good) == 1
    assert breaker.state is State.CLOSED


async def test_a_forced_state_ends_without_a_call(breaker, clock):
    breaker.force_open(for_s=5)
    clock.now_s += 5
    breaker.expire()
    assert breaker.state is State.CLOSED


async def test_a_reset_closes_it(breaker):
    await opened(breaker)
    breaker.reset()
    assert await breaker.call(good) == 1


def test_the_registry_finds_breakers_by_name_and_refuses_a_second(breaker):
    registry = BreakerRegistry()
    assert registry.add(breaker) is breaker
    assert registry.get("redis") is breaker
    assert registry.get("kafka") is None
    assert list(registry) == [breaker]
    with pytest.raises(ValueError, match="redis"):
        registry.add(breaker)
    breaker.force_open(for_s=None)
    registry.reset_all()
    assert breaker.state is State.CLOSED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window_s", 0),
        ("failure_rate_threshold", 1.1),
        ("wait_growth", 0.5),
        ("wait_jitter", 1.0),
        ("max_wait_duration_in_open_s", 0.5),
        ("required_successes_in_half_open", 6),
        ("probe_lease_s", -1),
    ],
)
def test_a_wrong_configuration_names_field_and_value(field, value):
    with pytest.raises(ValueError, match=f"{field}={value}"):
        BreakerConfig(**{field: value})


async def test_rejections_keep_no_memory_of_the_calls(breaker):
    await opened(breaker)
    first = await rejection(breaker)
    second = await rejection(breaker)
    assert first is not second
    assert first.__traceback__ is not second.__traceback__


async def rejection(breaker):
    try:
        await breaker.call(good)
    except CircuitOpenError as error:
        return error
    raise AssertionError("admitted")
