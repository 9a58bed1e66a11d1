"""Reads what a compacted topic says now, from the ends of its partitions, without a group.

A compacted topic holds far more than the newest record of each key, so reading it whole has no
bound. Writers of ours repeat every key within minutes: a tail of fixed length holds them all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import LeaderNotAvailableError, NotLeaderForPartitionError
from aiokafka.structs import TopicPartition

from streaming.config import KafkaConfig
from streaming.connection import (
    bootstrapped,
    client_settings,
    cut_off,
    finish_within,
    growing_waits,
)
from streaming.consuming.offsets import log_ends
from streaming.consuming.records import ConsumedRecord, as_consumed
from streaming.consuming.unparsable import (
    Item,
    UnreadableOffset,
    is_parse_error,
    mend_fetch_count,
    read_around,
)
from streaming.errors import BrokerTimeout
from streaming.translation import translated

_NOT_LED = (LeaderNotAvailableError, NotLeaderForPartitionError)
_STOP_S = 2.0
_FETCH_MS = 200
_RECORDS_AT_MOST = 1_000
"""Of one fetch: parsing more would hold the event loop."""


class TopicTailReader:
    """The tail of a topic, and then what follows. For one caller.

    Entering does no I/O: the first `read` connects, and a failed one lets go, so that the next
    connects anew. While nobody reads, `rest` holds no connection.
    """

    def __init__(self, config: KafkaConfig, topic: str, *, tail: int = 2_000) -> None:
        """`tail`: how many records a partition the first read goes back."""
        self._config = config
        self._partitions = [TopicPartition(topic, number) for number in range(config.partitions)]
        self._tail = tail
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.rest()

    async def read(self, timeout_s: float) -> list[ConsumedRecord]:
        """What came since the last read, in the order of each partition.

        Raises a `BrokerError`; what was not handed out by then comes with the next read.
        """
        try:
            async with asyncio.timeout(timeout_s):
                consumer = self._consumer or await self._connect()
                return await self._news(consumer)
        except TimeoutError:
            await self.rest()
            raise BrokerTimeout("the topic was not read within the deadline") from None
        except Exception as error:
            await self.rest()
            raise translated(error) from error

    async def rest(self) -> None:
        """Let the connection go. The next read begins with the tail again."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None and not await finish_within(consumer.stop(), _STOP_S):
            fetcher: Any = consumer._fetcher  # noqa: SLF001 - its task outlives a hung stop()
            task = None if fetcher is None else fetcher._fetch_task  # noqa: SLF001 - the same
            await cut_off(consumer._client, task)  # noqa: SLF001 - the same

    async def _connect(self) -> AIOKafkaConsumer:
        consumer = self._consumer = AIOKafkaConsumer(
            **client_settings(self._config),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=_FETCH_MS,
        )
        await bootstrapped(consumer.start())
        consumer.assign(self._partitions)
        # Assigning only asks for the topic's leaders; the next call needs to know them.
        client: Any = consumer._client  # noqa: SLF001 - the consumer has no way to wait for it
        await client.force_metadata_update()
        ends = await self._ends_once_led(consumer)
        begins = await consumer.beginning_offsets(self._partitions)
        self._positions = {
            partition: max(begins[partition], end - self._tail) for partition, end in ends.items()
        }
        for partition, offset in self._positions.items():
            consumer.seek(partition, offset)
        return consumer

    async def _ends_once_led(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
        """The ends of the partitions, as soon as the client knows who leads them.

        A new client does not, and one that asked while the topic was made knows it wrong.
        """
        for wait_s in growing_waits():
            try:
                return await log_ends(consumer, self._partitions)
            except _NOT_LED:
                client: Any = consumer._client  # noqa: SLF001 - nothing else makes it look
                await client.force_metadata_update()
                await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the waits never end")

    async def _news(self, consumer: AIOKafkaConsumer) -> list[ConsumedRecord]:
        ends = await log_ends(consumer, self._partitions)
        taken: list[Item] = []
        while any(self._positions[partition] < end for partition, end in ends.items()):
            taken += await self._take(consumer)
            for partition in self._partitions:
                self._positions[partition] = await consumer.position(partition)
        return [as_consumed(item) for item in taken if not isinstance(item, UnreadableOffset)]

    async def _take(self, consumer: AIOKafkaConsumer) -> Sequence[Item]:
        try:
            batches = await consumer.getmany(timeout_ms=_FETCH_MS, max_records=_RECORDS_AT_MOST)
        except Exception as error:
            mend_fetch_count(consumer)
            if not is_parse_error(error):
                raise
            return await read_around(consumer, self._positions)
        return [record for records in batches.values() for record in records]
