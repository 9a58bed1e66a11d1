"""Sends whole batches to partitions that the caller chose, and says exactly how each one ended.

For a caller that keeps what it sends until it is acknowledged, and has at most one batch of a
partition under way. Behind it stands one generation of producer after the other.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import structlog
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import TopicPartition

from streaming.config import KafkaConfig
from streaming.connection import (
    bootstrapped,
    client_settings,
    finish_within,
    growing_waits,
    why_start_failed,
)
from streaming.errors import AccessRefused, BrokerError
from streaming.producing.batch_errors import (
    BY_CODE,
    Action,
    BatchFailed,
    BatchVerdict,
    teach_newer_codes,
)
from streaming.producing.byte_budget import ByteBudget
from streaming.producing.generation import Generation
from streaming.translation import translated

_log = structlog.get_logger(__name__)

_READY_S = 1.0
"""How long a batch waits for a producer before it goes back to the caller."""
_SETTLE_S = 1.0
"""How long the other partitions' batches may still use a producer after one batch failed."""
_CLOSE_S = 0.5
_ABANDON_S = 0.2
_REQUEST_BYTES = 64 * 1024 * 1024
"""Everything under way could travel in one request, and a broker takes 100 MB. An idempotent
producer repeats a greater one for ever."""
_RETRY = BatchVerdict(Action.RETRY)
_OPERATOR = BatchVerdict(Action.OPERATOR)


class BatchSender:
    """Batches into Kafka, idempotent, acknowledged by all replicas.

    Entering starts it in the background and never fails; leaving takes about a second at most,
    with the broker dead too. `now` gives epoch seconds: each attempt is stamped with it, for
    brokers that do not stamp by themselves.
    """

    def __init__(self, config: KafkaConfig, *, now: Callable[[], float]) -> None:
        self._config = config
        self._now = now
        self._generation: Generation | None = None
        self._changed = asyncio.Event()
        self._last_failure: BatchFailed | None = None
        self._in_flight = ByteBudget(_REQUEST_BYTES)
        self._keeper: asyncio.Task[None] | None = None
        self.renewals: Counter[str] = Counter()
        """Producers given up, by cause: a constant text."""

    async def __aenter__(self) -> Self:
        teach_newer_codes()
        self._keeper = asyncio.create_task(self._keep(), name="batch-sender")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})

    async def send(
        self, topic: str, partition: int, records: Sequence[bytes], *, size: int
    ) -> None:
        """Return once Kafka acknowledged the batch; while the broker is away that may take long.

        `topic` is the full name, the records are packed, `size` is about their bytes. May be
        cancelled; the outcome is unknown then. Raises `BatchFailed`, and `UnreadableRecord`
        where nothing was sent.
        """
        # The bytes first: a generation asked for before the wait may be over after it.
        async with self._in_flight.taken(size):
            generation = await self._ready(_READY_S)
            try:
                await generation.send(topic, partition, records, int(self._now() * 1000))
            except BatchFailed as failure:
                if failure.lost_records:
                    _log.error("kafka lost acknowledged records", topic=topic, partition=partition)
                raise

    async def ready(self, timeout_s: float) -> None:
        """Wait for a producer. Raises `BatchFailed`, with the reason, where none comes in time."""
        await self._ready(timeout_s)

    def renew(self, cause: str) -> None:
        """Give the producer up and make another one."""
        if self._generation is not None:
            self._generation.fail(cause)

    async def why_stalled(self, topic: str, partition: int) -> BatchFailed | None:
        """Ask a broker anew why a partition takes nothing; None: it should.

        Takes two request timeouts at most.
        """
        settings = client_settings(self._config)
        client = AIOKafkaClient(**settings)
        try:
            async with asyncio.timeout(self._config.request_timeout_ms / 1000):
                await bootstrapped(client.bootstrap())
                await client.set_topics([topic])
            return _what_is_wrong(client, TopicPartition(topic, partition))
        except Exception as error:  # noqa: BLE001 - this only explains; it must not add a failure
            return _start_failure(await why_start_failed(self._config, error))
        finally:
            await finish_within(client.close(), _CLOSE_S)

    async def _ready(self, timeout_s: float) -> Generation:
        deadline = asyncio.get_running_loop().time() + timeout_s
        while (generation := self._generation) is None or generation.failed.is_set():
            changed = self._changed
            try:
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            except TimeoutError:
                raise self._last_failure or BatchFailed(_RETRY, "not connected yet") from None
        return generation

    async def _keep(self) -> None:
        """Make a generation, wait until it fails, make the next one."""
        waits = growing_waits()
        while True:
            try:
                generation = Generation(self._config)
            except OSError as error:
                self._note(BatchFailed(_OPERATOR, translated(error).reason, whole_cluster=True))
            else:
                await self._live(generation)
                if generation.proven:
                    waits = growing_waits()
                    continue
            await asyncio.sleep(next(waits))

    async def _live(self, generation: Generation) -> None:
        flush_s = _CLOSE_S
        try:
            await generation.start()
            self._turn_to(generation)
            await generation.failed.wait()
            # No new batch from here on: what fails below must not be told twice.
            self._turn_to(None)
            flush_s = _ABANDON_S
            self.renewals[generation.cause] += 1
            _log.warning("producer given up", reason=generation.cause)
            await generation.settle(_SETTLE_S)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next attempt may succeed
            self._note(_start_failure(await why_start_failed(self._config, error)))
        finally:
            self._turn_to(None)
            await generation.close(flush_s=flush_s)

    def _turn_to(self, generation: Generation | None) -> None:
        self._generation = generation
        if generation is not None:
            self._last_failure = None
        # A new event for each change: one that is set and cleared would lose waiters that have
        # not run yet.
        self._changed.set()
        self._changed = asyncio.Event()

    def _note(self, failure: BatchFailed) -> None:
        if self._last_failure is None or self._last_failure.reason != failure.reason:
            _log.warning("kafka producer not started", error=str(failure))
        self._last_failure = failure


def _start_failure(error: BrokerError) -> BatchFailed:
    """Nothing can be sent to anywhere, for this reason."""
    verdict = BY_CODE.get(error.code, _RETRY) if error.code is not None else _RETRY
    if isinstance(error, AccessRefused):
        verdict = _OPERATOR
    if verdict.action is not Action.OPERATOR:
        verdict = _RETRY
    return BatchFailed(verdict, error.reason, code=error.code, whole_cluster=True, leaf=type(error))


def _what_is_wrong(client: AIOKafkaClient, place: TopicPartition) -> BatchFailed | None:
    known = client.cluster.partitions_for_topic(place.topic)
    if place.topic in client.cluster.unauthorized_topics:
        return BatchFailed(_OPERATOR, "no permission for the topic", code=29)
    if not known:
        return BatchFailed(_OPERATOR, "the topic is not there", code=3)
    if place.partition not in known:
        return BatchFailed(_OPERATOR, "the partition is not there", code=3)
    if client.cluster.leader_for_partition(place) in (None, -1):
        return BatchFailed(_RETRY, "the partition has no leader", code=5)
    return None
