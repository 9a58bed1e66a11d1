from __future__ import annotations

from dataclasses import replace

import pytest

from fallback.breaker import PROFILES, CircuitBreaker, State
from pricing.model import Signal
from pricing.processor.price_events import price_event
from pricing.reading.price_topic import TopicStates, states_of
from streaming.errors import BrokerUnavailable
from streaming.events.codec import WireRecord, encode
from tests.support.api import ZONES
from tests.support.kafka_log import ride_request
from tests.support.zone_states import TICK_MS, calm, zone_state

BY_ID = {zone.zone_id: zone for zone in ZONES}
STATE = zone_state("z1", signal=Signal.LIVE)


def record(state):
    return encode(price_event(state))


def test_state_comes_out_of_the_feed_as_the_processor_put_it_in():
    assert states_of([record(STATE)], BY_ID) == [STATE]
    odd = replace(STATE, multiplier_micro=1_333_333, raw_multiplier_micro=3_333_333)
    assert states_of([record(odd)], BY_ID) == [odd]


def test_newest_of_a_zone_wins_in_any_order():
    newer = calm(zone_state("z1", TICK_MS + 5_000))
    for order in ([STATE, newer], [newer, STATE]):
        assert states_of(map(record, order), BY_ID) == [newer]


@pytest.mark.parametrize(
    "strange",
    [
        WireRecord(None, None),
        WireRecord(b"z1", None),
        WireRecord(b"z1", b"not json"),
        encode(ride_request()),
        record(zone_state("elsewhere")),
        record(zone_state("z1", currency="JPY")),
    ],
)
def test_record_that_tells_no_known_zones_price_is_passed_over(strange):
    assert states_of([strange, record(STATE)], BY_ID) == [STATE]


class Feed:
    def __init__(self):
        self.failure = None
        self.reads = 0

    async def read(self, timeout_s):
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        return [record(STATE)]

    async def rest(self): ...


async def test_dead_broker_gives_nothing_and_is_left_alone_after_a_while():
    feed = Feed()
    breaker = CircuitBreaker("kafka", PROFILES["kafka"])
    states = TopicStates(feed, ZONES, breaker)
    assert await states.read() == [STATE]
    feed.failure = BrokerUnavailable("refused")
    for _ in range(5):
        assert await states.read() == ()
    assert breaker.state is State.OPEN
    assert feed.reads < 6
