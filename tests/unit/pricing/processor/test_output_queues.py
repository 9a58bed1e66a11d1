import asyncio

import pytest
import stamina

from pricing.errors import DependencyRefused, DependencyUnavailable
from pricing.model import Signal
from pricing.processor.output_queues import NewestQueue, OrderedQueue, OutputQueue
from pricing.surge.city import CityStates

CITIES = frozenset({"nyc", "ams"})


def states(tick_ms, city_id="nyc"):
    return CityStates(city_id=city_id, tick_ms=tick_ms, signal=Signal.LIVE, states=(), changed=())


class Output:
    """Remembers what was written; refuses while `is_down`."""

    def __init__(self):
        self.written = []
        self.is_down = False
        self.refused = asyncio.Event()

    async def write(self, tick):
        if self.is_down:
            self.refused.set()
            raise DependencyUnavailable("database", "refused")
        self.written.append((tick.city_id, tick.tick_ms))


@pytest.fixture
def output():
    return Output()


async def drained(queue: OutputQueue):
    writer = asyncio.create_task(queue.run())
    async with asyncio.timeout(60):
        await queue.drain()
    writer.cancel()


async def test_ordered_queue_writes_every_tick_in_order(output):
    queue = OrderedQueue("history", output.write, capacity=10)
    for tick_ms in (5, 10, 15):
        queue.offer(states(tick_ms))
    await drained(queue)
    assert output.written == [("nyc", 5), ("nyc", 10), ("nyc", 15)]


async def test_ordered_queue_keeps_ticks_through_an_outage(output):
    queue = OrderedQueue("history", output.write, capacity=10)
    output.is_down = True
    queue.offer(states(5))
    queue.offer(states(10))
    writer = asyncio.create_task(queue.run())
    async with asyncio.timeout(60):
        await output.refused.wait()
        assert queue.oldest_pending_ms(CITIES) == 5
        output.is_down = False
        await queue.drain()
    writer.cancel()
    assert output.written == [("nyc", 5), ("nyc", 10)]
    assert queue.oldest_pending_ms(CITIES) is None


async def test_full_ordered_queue_drops_the_oldest(output):
    queue = OrderedQueue("history", output.write, capacity=2)
    for tick_ms in (5, 10, 15):
        queue.offer(states(tick_ms))
    assert queue.dropped_total == 1
    await drained(queue)
    assert output.written == [("nyc", 10), ("nyc", 15)]


async def test_newest_queue_writes_only_the_newest_tick(output):
    queue = NewestQueue("redis", output.write)
    for tick_ms in (5, 10):
        queue.offer(states(tick_ms))
        queue.offer(states(tick_ms, "ams"))
    await drained(queue)
    assert sorted(output.written) == [("ams", 10), ("nyc", 10)]


async def test_tick_offered_during_a_write_is_next(output):
    release = asyncio.Event()

    async def slow(tick):
        await release.wait()
        await output.write(tick)

    queue = NewestQueue("redis", slow)
    queue.offer(states(5))
    writer = asyncio.create_task(queue.run())
    await asyncio.sleep(0)
    queue.offer(states(10))
    release.set()
    async with asyncio.timeout(60):
        await queue.drain()
    writer.cancel()
    assert output.written[-1] == ("nyc", 10)


def test_pending_ticks_are_told_by_city(output):
    queue = OrderedQueue("history", output.write, capacity=10)
    queue.offer(states(5, "ams"))
    queue.offer(states(10))
    assert queue.oldest_pending_ms({"nyc"}) == 10
    assert queue.oldest_pending_ms({"ams"}) == 5
    assert queue.oldest_pending_ms({"par"}) is None


@pytest.mark.parametrize("error", [DependencyRefused("database", "constraint"), ValueError("bug")])
async def test_tick_refused_for_good_is_given_up(output, error):
    async def write(tick):
        if tick.tick_ms == 5:
            raise error
        await output.write(tick)

    queue = OrderedQueue("history", write, capacity=10)
    queue.offer(states(5))
    queue.offer(states(10))
    with stamina.set_testing(True, attempts=100):
        await drained(queue)
    assert output.written == [("nyc", 10)]
    assert queue.dropped_total == 1


async def test_a_cancelled_writer_ends_in_mid_write():
    started = asyncio.Event()

    async def hang(tick):
        started.set()
        await asyncio.Event().wait()

    queue = OrderedQueue("history", hang, capacity=10)
    queue.offer(states(5))
    writer = asyncio.create_task(queue.run())
    await started.wait()
    writer.cancel()
    async with asyncio.timeout(60):
        await asyncio.wait({writer})
    assert writer.cancelled()
