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
async def queue(letters):
    queue = DeadLetterQueue(letters)
    writer = asyncio.create_task(queue.run())
    yield queue
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)


async def sent(queue, partition=0):
    async with asyncio.timeout(60):
        while queue.is_waiting(partition):
            await asyncio.sleep(0.01)


async def test_records_are_sent_in_order(queue, letters):
    for offset in (1, 2, 3):
        queue.offer(record(offset), ERROR)
    assert queue.is_waiting(0)
    await sent(queue)
    assert letters.sent == [1, 2, 3]


async def test_missing_topic_holds_up_only_its_own_records(queue, letters):
    letters.is_missing = True
    queue.offer(record(1, partition=4), ERROR)
    await letters.tried.wait()
    assert queue.is_waiting(4)
    assert not queue.is_waiting(0)
    letters.is_missing = False
    await sent(queue, 4)
    assert letters.sent == [1]


async def test_more_than_can_wait_are_not_sent(letters):
    queue = DeadLetterQueue(letters)
    for offset in range(1_500):
        queue.offer(record(offset), ERROR)
    writer = asyncio.create_task(queue.run())
    await sent(queue)
    writer.cancel()
    assert letters.sent == list(range(1_000))
