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


async def drained(lane: OutputQueue):
    writer = asyncio.create_task(lane.run())
    async with asyncio.timeout(5):
        await lane.drain()
    writer.cancel()


async def test_an_ordered_lane_writes_every_tick_in_order(output):
    lane = OrderedQueue("history", output.write, capacity=10)
    for tick_ms in (5, 10, 15):
        lane.offer(states(tick_ms))
    await drained(lane)
    assert output.written == [("nyc", 5), ("nyc", 10), ("nyc", 15)]


async def test_an_ordered_lane_keeps_ticks_while_its_output_is_down(output):
    lane = OrderedQueue("history", output.write, capacity=10)
    output.is_down = True
    lane.offer(states(5))
    lane.offer(states(10))
    writer = asyncio.create_task(lane.run())
    async with asyncio.timeout(5):
        await output.refused.wait()
        assert lane.oldest_pending_ms(CITIES) == 5
        output.is_down = False
        await lane.drain()
    writer.cancel()
    assert output.written == [("nyc", 5), ("nyc", 10)]
    assert lane.oldest_pending_ms(CITIES) is None


async def test_a_full_ordered_lane_drops_the_oldest_and_counts_it(output):
    lane = OrderedQueue("history", output.write, capacity=2)
    for tick_ms in (5, 10, 15):
        lane.offer(states(tick_ms))
    assert lane.dropped_total == 1
    await drained(lane)
    assert output.written == [("nyc", 10), ("nyc", 15)]


async def test_a_newest_lane_writes_only_the_newest_tick_of_each_city(output):
    lane = NewestQueue("redis", output.write)
    for tick_ms in (5, 10):
        lane.offer(states(tick_ms))
        lane.offer(states(tick_ms, "ams"))
    await drained(lane)
    assert sorted(output.written) == [("ams", 10), ("nyc", 10)]


async def test_a_tick_offered_during_a_write_is_written_next(output):
    release = asyncio.Event()

    async def slow(tick):
        await release.wait()
        await output.write(tick)

    lane = NewestQueue("redis", slow)
    lane.offer(states(5))
    writer = asyncio.create_task(lane.run())
    await asyncio.sleep(0)
    lane.offer(states(10))
    release.set()
    async with asyncio.timeout(5):
        await lane.drain()
    writer.cancel()
    assert output.written[-1] == ("nyc", 10)


def test_pending_ticks_are_told_by_city(output):
    lane = OrderedQueue("history", output.write, capacity=10)
    lane.offer(states(5, "ams"))
    lane.offer(states(10))
    assert lane.oldest_pending_ms({"nyc"}) == 10
    assert lane.oldest_pending_ms({"ams"}) == 5
    assert lane.oldest_pending_ms({"par"}) is None


@pytest.mark.parametrize("error", [DependencyRefused("database", "constraint"), ValueError("bug")])
async def test_a_tick_that_is_refused_for_good_is_given_up_and_the_next_one_written(output, error):
    async def write(tick):
        if tick.tick_ms == 5:
            raise error
        await output.write(tick)

    lane = OrderedQueue("history", write, capacity=10)
    lane.offer(states(5))
    lane.offer(states(10))
    with stamina.set_testing(True, attempts=100):
        await drained(lane)
    assert output.written == [("nyc", 10)]
    assert lane.dropped_total == 1


async def test_a_cancelled_writer_ends_in_mid_write():
    started = asyncio.Event()

    async def hang(tick):
        started.set()
        await asyncio.Event().wait()

    lane = OrderedQueue("history", hang, capacity=10)
    lane.offer(states(5))
    writer = asyncio.create_task(lane.run())
    await started.wait()
    writer.cancel()
    async with asyncio.timeout(5):
        await asyncio.wait({writer})
    assert writer.cancelled()
