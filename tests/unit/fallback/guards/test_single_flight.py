import asyncio
import gc
from contextvars import ContextVar

import pytest

from fallback.guards.single_flight import BatchedFlight


class Store:
    """Counts fetches; answers when released."""

    def __init__(self):
        self.batches = []
        self.released = asyncio.Event()
        self.error = None

    async def fetch(self, keys):
        self.batches.append(tuple(keys))
        await self.released.wait()
        if self.error:
            raise self.error
        return {key: key.upper() for key in keys if key != "missing"}


@pytest.fixture
async def store():
    return Store()


@pytest.fixture
async def flight(store):
    flight = BatchedFlight(store.fetch, largest_batch=3)
    yield flight
    await flight.close()


async def settled(store, *lookups):
    store.released.set()
    async with asyncio.timeout(60):
        return await asyncio.gather(*lookups, return_exceptions=True)


def values(landed, *keys):
    return [each.result.get(key) for each, key in zip(landed, keys, strict=True)]


async def test_lookups_of_one_turn_travel_together(flight, store):
    landed = await settled(store, flight.get("a"), flight.get("b"), flight.get("missing"))
    assert values(landed, "a", "b", "missing") == ["A", "B", None]
    assert not any(each.is_joined for each in landed)
    assert store.batches == [("a", "b", "missing")]


async def test_a_large_turn_is_split(flight, store):
    store.released.set()
    landed = await flight.get_many(["a", "b", "a", "c", "d"])
    assert [each.result for each in landed] == [{"a": "A", "b": "B", "c": "C"}, {"d": "D"}]
    assert store.batches == [("a", "b", "c"), ("d",)]


async def test_many_lookups_join_what_is_under_way_and_fetch_the_rest(flight, store):
    first = asyncio.create_task(flight.get("a"))
    while not store.batches:
        await asyncio.sleep(0)
    many = asyncio.create_task(flight.get_many(["a", "b"]))
    _, landed = await settled(store, first, many)
    assert {tuple(each.result): each.is_joined for each in landed} == {("a",): True, ("b",): False}


async def test_a_fetch_runs_outside_of_its_callers_context():
    variable = ContextVar("variable", default="none")

    async def fetch(keys):
        return variable.get()

    flight = BatchedFlight(fetch)
    variable.set("the caller's")
    assert (await flight.get("a")).result == "none"


async def test_a_lookup_joins_one_that_is_under_way(flight, store):
    first = asyncio.create_task(flight.get("a"))
    while not store.batches:
        await asyncio.sleep(0)
    second = asyncio.create_task(flight.get("a"))
    landed = await settled(store, first, second)
    assert values(landed, "a", "a") == ["A", "A"]
    assert [each.is_joined for each in landed] == [False, True]
    assert store.batches == [("a",)]
    assert flight.followers_total == 1


async def test_a_leader_that_goes_away_leaves_its_followers_their_answer(flight, store):
    leader = asyncio.create_task(flight.get("a"))
    while not store.batches:
        await asyncio.sleep(0)
    follower = asyncio.create_task(flight.get("a"))
    await asyncio.sleep(0)
    leader.cancel()
    answers = await settled(store, leader, follower)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1].result == {"a": "A"}


async def test_a_failure_reaches_every_caller_and_the_next_lookup_asks_again(flight, store):
    store.error = OSError("refused")
    answers = await settled(store, flight.get("a"), flight.get("a"))
    assert [type(answer) for answer in answers] == [OSError, OSError]
    store.error = None
    assert (await flight.get("a")).result == {"a": "A"}


async def test_closing_cancels_what_is_under_way(store):
    flight = BatchedFlight(store.fetch)
    lookup = asyncio.create_task(flight.get("a"))
    while not store.batches:
        await asyncio.sleep(0)
    await flight.close()
    with pytest.raises(asyncio.CancelledError):
        await lookup


async def test_a_failure_that_nobody_waits_for_is_no_noise(flight, store):
    store.error = OSError("refused")
    lookup = asyncio.create_task(flight.get("a"))
    while not store.batches:
        await asyncio.sleep(0)
    lookup.cancel()
    noise = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    await settled(store, lookup)
    while len(asyncio.all_tasks()) > 1:
        await asyncio.sleep(0)
    gc.collect()  # asyncio speaks of an exception that nobody retrieved when it is collected
    assert noise == []


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="largest_batch=0"):
        BatchedFlight(None, largest_batch=0)
