import asyncio

import pytest

from pricing.processor.dead_letter_queue import DeadLetterQueue
from streaming.consuming.consumer import ConsumedRecord
from streaming.errors import InvalidMessage, TopicMissing

ERROR = InvalidMessage("not_json", "no JSON")


def record(offset, partition=0):
    return ConsumedRecord("ride-requests", partition, offset, 0, b"k", b"v", ())


class Letters:
    """Stands for `DeadLetters`: keeps what was sent; refuses while the topic is missing."""

    def __init__(self):
        self.sent = []
        self.is_missing = False
        self.tried = asyncio.Event()

    async def send(self, record, error):
        self.tried.set()
        if self.is_missing:
            raise TopicMissing("no such topic")
        self.sent.append(record.offset)


@pytest.fixture
async def letters():
    return Letters()


@pytest.fixture
async def burial(letters):
    burial = DeadLetterQueue(letters)
    writer = asyncio.create_task(burial.run())
    yield burial
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)


async def buried(burial, partition=0):
    async with asyncio.timeout(5):
        while burial.is_waiting(partition):
            await asyncio.sleep(0.01)


async def test_records_are_buried_in_order(burial, letters):
    for offset in (1, 2, 3):
        burial.offer(record(offset), ERROR)
    assert burial.is_waiting(0)
    await buried(burial)
    assert letters.sent == [1, 2, 3]


async def test_a_missing_topic_keeps_records_waiting_and_nobody_else(burial, letters):
    letters.is_missing = True
    burial.offer(record(1, partition=4), ERROR)
    await letters.tried.wait()
    assert burial.is_waiting(4)
    assert not burial.is_waiting(0)
    letters.is_missing = False
    await buried(burial, 4)
    assert letters.sent == [1]


async def test_more_than_can_wait_stay_in_their_topic(letters):
    burial = DeadLetterQueue(letters)
    for offset in range(1_500):
        burial.offer(record(offset), ERROR)
    writer = asyncio.create_task(burial.run())
    await buried(burial)
    writer.cancel()
    assert letters.sent == list(range(1_000))
