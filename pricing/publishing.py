"""The publish port, straight to Kafka: an event is acknowledged once Kafka has it."""

from __future__ import annotations

from collections.abc import Sequence

from pricing.errors import (
    DependencyError,
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.ports import Receipt
from streaming.config import KafkaConfig
from streaming.errors import BrokerError, BrokerRefused, BrokerTimeout, ProducerFull
from streaming.events import Event
from streaming.producer import EventProducer
from streaming.topics import full_name


class KafkaPublisher:
    """A `Publisher` over a producer that somebody else opens and closes."""

    def __init__(self, producer: EventProducer, config: KafkaConfig, *, timeout_s: float) -> None:
        self._producer = producer
        self._config = config
        self._timeout_s = timeout_s

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]:
        """Send and wait for Kafka; `topic` is the name without the prefix."""
        try:
            await self._producer.send(
                full_name(self._config, topic), events, timeout_s=self._timeout_s
            )
        except BrokerError as error:
            raise as_dependency_error(error) from error
        return [Receipt(event.id, "sent") for event in events]


def as_dependency_error(error: BrokerError) -> DependencyError:
    """Kafka's failure in the application's words."""
    if isinstance(error, ProducerFull):
        return DependencySaturated("kafka", error.reason)
    if isinstance(error, BrokerTimeout):
        return DependencyTimeout("kafka", error.reason)
    if isinstance(error, BrokerRefused):
        return DependencyRefused("kafka", error.reason)
    return DependencyUnavailable("kafka", error.reason)
