"""Reads the input topics back, to see what really got into them."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from pricing.errors import StartupError
from pricing.local.delivery_check import DeliveryCheck
from streaming.config import KafkaConfig
from streaming.connection import client_settings, finish_within, growing_waits
from streaming.errors import BrokerError
from streaming.topics import INPUTS, full_name
from streaming.translation import translating

_START_S: Final = 10.0
_REWIND_S: Final = 3.0
_STOP_S: Final = 1.0
_POLL_MS: Final = 200
_ID_HEADER: Final = "ce_id"


class TopicReadback:
    """Tells a `DeliveryCheck` every event id that arrives in the input topics, from now on.

    A reader without a group: it commits nothing and nobody waits for it.
    """

    def __init__(self, config: KafkaConfig, delivery_check: DeliveryCheck) -> None:
        self._config = config
        self._delivery_check = delivery_check
        self._consumer = self._new_consumer()
        self._starts_over = False
        self._partitions = [
            TopicPartition(full_name(config, topic), partition)
            for topic in INPUTS
            for partition in range(config.partitions)
        ]

    async def open(self) -> None:
        """Stand at the end of every partition. The caller closes, also after an error.

        Raises:
            StartupError: the broker does not let us within 10 s.
        """
        try:
            async with asyncio.timeout(_START_S):
                with translating():
                    await self._stand_at_the_end()
        except (BrokerError, TimeoutError) as error:
            reason = str(error) or "no answer"
            raise StartupError(f"cannot read the topics back: {reason}") from error

    async def aclose(self) -> None:
        """Leave, in bounded time."""
        await finish_within(self._consumer.stop(), _STOP_S)

    def start_over(self) -> None:
        """Read from the beginning: the broker has lost its log, and offsets begin anew.

        The embedded broker does not tell a reader that stands beyond the end.
        """
        self._starts_over = True

    async def run(self) -> None:
        """Read until cancelled; a broker that is away is waited for."""
        waits = growing_waits()
        while True:
            try:
                with translating():
                    if self._starts_over:
                        await self._rewind()
                    batches = await self._consumer.getmany(timeout_ms=_POLL_MS)
            except (BrokerError, TimeoutError):
                await asyncio.sleep(next(waits))
                continue
            waits = growing_waits()
            for records in batches.values():
                for record in records:
                    self._read(record)

    async def _rewind(self) -> None:
        async with asyncio.timeout(_REWIND_S):
            await self._consumer.seek_to_beginning(*self._partitions)
        self._starts_over = False

    async def _stand_at_the_end(self) -> None:
        await self._consumer.start()
        self._consumer.assign(self._partitions)
        await self._consumer.seek_to_end()
        # `seek_to_end` only asks for the end. Until the position is known, what arrives could
        # come before it and be counted as lost.
        for partition in self._partitions:
            await self._consumer.position(partition)

    def _read(self, record: Any) -> None:
        for name, value in record.headers:
            if name == _ID_HEADER:
                self._delivery_check.read(value.decode(errors="replace"))
                return

    def _new_consumer(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **client_settings(self._config),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
