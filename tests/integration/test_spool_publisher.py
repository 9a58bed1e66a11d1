"""The publish port through a real spool, with nobody behind it who delivers."""

from __future__ import annotations

import pytest

from fallback.pump.delivery_waiters import DeliveryWaiters
from fallback.spool import Durability, Spool, SpoolConfig
from pricing.writing.publisher import SpoolPublisher
from pricing.writing.spool_lanes import lane_of
from streaming.config import KafkaConfig
from streaming.errors import InvalidMessage
from streaming.events.codec import encode
from streaming.events.packing import unpack
from streaming.partitioning import partition_for
from tests.support.kafka_log import ride_request, ride_requests

MIB = 1 << 20
CONFIG = KafkaConfig()


class Watched:
    """A spool that remembers how it was asked."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.asked: list[Durability] = []

    async def append(self, entries, *, durability, timeout_s):
        self.asked.append(durability)
        return await self.spool.append(entries, durability=durability, timeout_s=timeout_s)


@pytest.fixture
async def spool(tmp_path):
    config = SpoolConfig(segment_bytes=MIB, quota_bytes=16 * MIB, free_floor_bytes=0)
    async with Spool.open(tmp_path, config) as spool:
        yield Watched(spool)


@pytest.fixture
def deliveries() -> DeliveryWaiters:
    return DeliveryWaiters()


@pytest.fixture
def publisher(spool, deliveries) -> SpoolPublisher:
    return SpoolPublisher(spool, deliveries, CONFIG, wait_s=0.02)


async def test_event_lies_in_the_lane_of_its_keys_partition_as_kafka_will_have_it(spool, publisher):
    event = ride_request()
    (receipt,) = await publisher.publish("ride-requests", [event])
    assert (receipt.event_id, receipt.status) == (event.id, "buffered")
    partition = partition_for(b"nyc", CONFIG.partitions)
    async for lane in spool.spool.lanes():
        (record,) = await lane.take(max_records=10, max_bytes=MIB)
        assert lane.name == lane_of("equilibrium.ride-requests", partition)
        assert unpack(record.body) == encode(event)
        break


async def test_each_event_says_for_itself_whether_kafka_has_it(publisher, deliveries):
    events = ride_requests(range(12))
    sent = {lane_of("equilibrium.ride-requests", number) for number in (0, 1, 2)}
    for lane in sent:
        deliveries.settle(lane, 100, is_delivered=True)
    receipts = await publisher.publish("ride-requests", events)
    for event, receipt in zip(events, receipts, strict=True):
        lane = lane_of("equilibrium.ride-requests", partition_for(event.key.encode(), 6))
        assert receipt.event_id == event.id
        assert receipt.status == ("sent" if lane in sent else "buffered")


@pytest.mark.parametrize(
    ("topic", "durability"),
    [("ride-requests", Durability.DURABLE), ("driver-status", Durability.RELAXED)],
)
async def test_topic_has_its_durability(spool, publisher, topic, durability):
    await publisher.publish(topic, [ride_request()])
    assert spool.asked == [durability]


async def test_prices_are_not_spooled(publisher):
    with pytest.raises(ValueError, match="not spooled"):
        await publisher.publish("zone-prices", [ride_request()])


async def test_nothing_is_nothing(spool, publisher):
    assert list(await publisher.publish("ride-requests", [])) == []
    assert spool.asked == []


async def test_event_that_is_too_large_is_refused_and_none_of_its_batch_is_kept(spool, publisher):
    with pytest.raises(InvalidMessage, match="too_large"):
        await publisher.publish(
            "ride-requests", [ride_request(), ride_request(product="x" * 1_000_001)]
        )
    assert spool.spool.stats().records == 0


async def test_largest_event_fits_into_the_spool_of_the_service(tmp_path):
    from pricing.wiring.writing import ENTRY_BYTES

    config = SpoolConfig(quota_bytes=64 * MIB, free_floor_bytes=0, entry_bytes=ENTRY_BYTES)
    async with Spool.open(tmp_path, config) as spool:
        publisher = SpoolPublisher(spool, DeliveryWaiters(), CONFIG, wait_s=0)
        event = ride_request(product="x" * 999_500, key="k" * 250)
        assert len(await publisher.publish("ride-requests", [event])) == 1
