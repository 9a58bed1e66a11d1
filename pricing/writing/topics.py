"""Sees to it that Kafka's topics are there, as they must be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import stamina
import structlog

from fallback.background import in_background
from streaming.config import KafkaConfig
from streaming.errors import BrokerError
from streaming.topics import TopicClash, ensure_topics

_log = structlog.get_logger(__name__)

_EVERY_S = 30.0
"""A topic that somebody deletes is made again after so long, at most."""


OnRetry = Callable[[str, str, int, float], None]
"""Hears of a retry: of what, doing what, the number of the attempt, the wait before it."""


def _unheard(name: str, operation: str, attempt: int, wait_s: float) -> None: ...


async def create_topics(
    config: KafkaConfig, *, timeout_s: float | None, on_retry: OnRetry = _unheard
) -> list[TopicClash]:
    """Create the topics that are missing; returns what is not as it must be with the others.

    Raises `BrokerError` when Kafka could not be asked within `timeout_s`; None: never gives up.
    """
    attempts = stamina.retry_context(
        on=BrokerError, attempts=None, timeout=timeout_s, wait_initial=0.2, wait_max=5.0
    )
    clashes: list[TopicClash] = []
    wait_s = 0.0
    async for attempt in attempts:
        if attempt.num > 1:
            on_retry("kafka", "create_topics", attempt.num, wait_s)
        wait_s = attempt.next_wait
        with attempt:
            clashes = await ensure_topics(config, timeout_s=10.0)
    return clashes


def warn_of_clashes(clashes: Iterable[TopicClash]) -> None:
    """Name every topic that is not as it must be; only a person can decide what becomes of it."""
    for clash in clashes:
        _log.warning("topic differs", clash=str(clash))


@asynccontextmanager
async def topics_in_background(
    config: KafkaConfig, *, on_retry: OnRetry = _unheard
) -> AsyncIterator[None]:
    """While open, see to it that the topics are there, as soon as Kafka is."""
    async with in_background("topics", _keep_topics(config, on_retry)):
        yield


async def _keep_topics(config: KafkaConfig, on_retry: OnRetry) -> None:
    told: set[TopicClash] = set()
    while True:
        try:
            clashes = set(await create_topics(config, timeout_s=None, on_retry=on_retry))
            warn_of_clashes(clashes - told)
            told = clashes
        except Exception:  # noqa: BLE001 - a fault here costs missing topics, no process
            _log.exception("topics not kept")
        await asyncio.sleep(_EVERY_S)
