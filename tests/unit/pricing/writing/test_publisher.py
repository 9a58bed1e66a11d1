"""What a publisher answers and raises, by what stands behind it; no disk, no broker."""

from __future__ import annotations

import pytest

from fallback.errors import AppendTimedOut, SpoolClosed, SpoolFailed, SpoolFull, TooManyLanes
from pricing.errors import (
    DependencyRefused,
    DependencySaturated,
    DependencyTimeout,
    DependencyUnavailable,
)
from pricing.health.passive import PassiveHealth
from pricing.writing.publisher import (
    KafkaPublisher,
    NoPublisher,
    WatchedPublisher,
    as_dependency_error,
    as_spool_dependency_error,
)
from streaming.config import KafkaConfig
from streaming.errors import (
    AccessRefused,
    BrokerRefused,
    BrokerUnavailable,
    MembershipLost,
    ProducerFull,
    PublishTimeout,
    TopicMissing,
)
from streaming.memory import MemoryBroker, MemoryProducer
from tests.support.fake_clock import WallMs
from tests.support.kafka_log import ride_request
from tests.support.publisher import MemoryPublisher

DOWN = DependencyUnavailable("kafka", "refused")


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker(now_ms=lambda: 0)


@pytest.fixture
def kafka(broker) -> KafkaPublisher:
    return KafkaPublisher(MemoryProducer(broker), KafkaConfig(), timeout_s=0)


async def test_kafka_publisher_sends_to_the_full_name_and_says_sent(broker, kafka):
    event = ride_request()
    (receipt,) = await kafka.publish("zone-prices", [event])
    assert (receipt.event_id, receipt.status) == (event.id, "sent")
    assert len(broker.topic("equilibrium.zone-prices")) == 1


async def test_kafka_publisher_without_a_broker_is_unavailable(broker, kafka):
    broker.is_down = True
    with pytest.raises(DependencyUnavailable) as caught:
        await kafka.publish("zone-prices", [ride_request()])
    assert caught.value.dependency == "kafka"


async def test_kafka_publisher_without_an_acknowledgement_knows_nothing(broker, kafka):
    broker.loses_acks = True
    with pytest.raises(DependencyTimeout):
        await kafka.publish("zone-prices", [ride_request()])


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (ProducerFull("full"), DependencySaturated),
        (PublishTimeout("late", [0]), DependencyTimeout),
        (BrokerRefused("too large", code=10), DependencyRefused),
        (AccessRefused("no permission"), DependencyRefused),
        (BrokerUnavailable("away"), DependencyUnavailable),
        (TopicMissing("missing"), DependencyUnavailable),
        (MembershipLost("moved"), DependencyUnavailable),
    ],
    ids=str,
)
def test_errors_of_kafka_get_the_applications_words(error, wanted):
    translated = as_dependency_error(error)
    assert (type(translated), translated.dependency) == (wanted, "kafka")


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (SpoolFull(1.0, percent=100), DependencySaturated),
        (TooManyLanes(10), DependencySaturated),
        (AppendTimedOut(1.0, may_be_stored=True), DependencyTimeout),
        (AppendTimedOut(1.0, may_be_stored=False), DependencySaturated),
        (SpoolFailed("disk"), DependencyUnavailable),
        (SpoolClosed("closed"), DependencyUnavailable),
    ],
)
def test_errors_of_the_spool_get_the_applications_words(error, wanted):
    assert type(as_spool_dependency_error(error)) is wanted


async def test_nobody_takes_an_event():
    with pytest.raises(DependencyUnavailable) as caught:
        await NoPublisher().publish("ride-requests", [ride_request()])
    assert caught.value.dependency == "spool"


async def test_buffered_event_and_error_count_as_failures_of_kafka():
    health, publisher = PassiveHealth(now_ms=WallMs()), MemoryPublisher()
    watched = WatchedPublisher(publisher, observers=(health,))
    await watched.publish("t", [ride_request()])
    assert health.services()["kafka"].status == "healthy"
    publisher.status = "buffered"
    (receipt,) = await watched.publish("t", [ride_request()])
    assert receipt.status == "buffered"
    assert health.services()["kafka"].status == "degraded"
    publisher.failure = DOWN
    with pytest.raises(DependencyUnavailable):
        await watched.publish("t", [ride_request()])
    assert health.services()["kafka"].failures == 2
