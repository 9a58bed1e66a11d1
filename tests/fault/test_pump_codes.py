"""Every error code that a broker may answer a batch with: what becomes of the events."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fallback.spool import Durability, Entry
from pricing.embedded import ApacheKafka
from pricing.writing.spool_lanes import lane_of
from streaming.config import KafkaConfig
from streaming.events.codec import WireRecord, decode
from streaming.events.packing import pack
from streaming.producing.batch_errors import BY_CODE, Action
from streaming.topics import AUDIT, RIDE_REQUESTS, SYSTEM_MODES, dlq_of, ensure_topics, full_name
from tests.support.kafka_log import ride_request, ride_requests
from tests.support.kafka_wire_proxy import Answer, KafkaWireProxy
from tests.support.pumped import Pumped, ids_of, make_topic, pumped, read_topic
from tests.support.servers import kafka_config_for
from tests.support.waiting import until

RETRIED_INSIDE = {3, 5, 6, 7, 19, 20, 56, 74, 89}
"""The driver repeats the batch by itself, under the same number, so the broker drops a repeat."""
LOST_RECORDS = 45
INVALID_EPOCH = 47
CODES = sorted(RETRIED_INSIDE | {2, 10, 18, 29, 31, 32, 44, 45, 47, 58, 59, 87, -1, 99})


@pytest.fixture
async def proxy(kafka, kafka_proxy_port) -> AsyncIterator[KafkaWireProxy]:
    if not isinstance(kafka, ApacheKafka):
        pytest.skip("needs Apache Kafka: install Java 17 or newer and Maven")
    async with KafkaWireProxy(kafka.proxied_port, port=kafka_proxy_port) as proxy:
        yield proxy


@pytest.fixture
async def config(kafka, proxy, topic_prefix) -> KafkaConfig:
    await ensure_topics(kafka_config_for(kafka, topic_prefix), timeout_s=20)
    return kafka_config_for(
        kafka, topic_prefix, bootstrap_servers=proxy.address, request_timeout_ms=1_500
    )


def alarms(path: Pumped) -> set[str]:
    return {alarm.kind for alarm in path.pump.stats().alarms}


async def delivered(kafka, config: KafkaConfig) -> list[str]:
    direct = kafka_config_for(kafka, config.topic_prefix)
    return ids_of(await read_topic(direct, full_name(config, "ride-requests")))


@pytest.mark.parametrize("appended", [False, True], ids=["refused", "appended"])
@pytest.mark.parametrize("code", CODES)
async def test_code_costs_no_event_and_no_order(kafka, proxy, config, tmp_path, code, appended):
    before, after = ([ride_request(n) for n in numbers] for numbers in (range(3), range(3, 8)))
    async with pumped(config, tmp_path, wait_s=10) as path:
        await path.publisher.publish("ride-requests", before)
        proxy.answer = Answer(code, appended)
        await path.publisher.publish("ride-requests", after)
        await until(lambda: not path.spool.stats().records, "delivered")
        assert proxy.answer.given == 1
        if code == LOST_RECORDS:
            await until(lambda: alarms(path) == {"lost_records"}, "the alarm")
        assert code == LOST_RECORDS or "lost_records" not in alarms(path)
        assert path.renewals == (0 if code in RETRIED_INSIDE else 1)
        assert not path.box.letters()
    log = await delivered(kafka, config)
    assert list(dict.fromkeys(log)) == [event.id for event in before + after]
    is_repeated = appended and code not in RETRIED_INSIDE
    assert len(log) - len(set(log)) == (len(after) if is_repeated else 0)


@pytest.mark.parametrize("code", [2, 10, 18, 32, 87, -1])
async def test_poison_is_found_among_500_and_alone_put_aside(kafka, proxy, config, tmp_path, code):
    events = [ride_request(n) for n in range(500)]
    events[123] = ride_request(123, product="the-poison")
    others = [ride_request(n, key="tyo") for n in range(50)]
    proxy.answer = Answer(code, appended=False, times=10_000, concerns=holds_poison)
    async with pumped(config, tmp_path, wait_s=30) as path:
        receipts = await path.publisher.publish("ride-requests", [*events, *others])
        await until(lambda: not path.spool.stats().records, "delivered", within_s=60)
        (letter,) = path.box.letters()
        assert events[123].id.encode() in letter.body
        assert (letter.error_class, letter.lane) == (str(code), path_of(config, events[123].key))
        assert receipts[0].status == "sent"
    log = await delivered(kafka, config)
    good = [event.id for event in events if event is not events[123]]
    wanted = {*good, *(event.id for event in others)}
    assert set(log) == wanted
    first = list(dict.fromkeys(log))
    assert [identity for identity in first if identity in set(good)] == good
    assert len(log) == len(wanted)


async def test_lanes_that_share_a_failed_producer_all_go_on(kafka, proxy, config, tmp_path):
    """One lane's batch makes it fail; the others' were handed over, and are never answered."""
    async with pumped(config, tmp_path, wait_s=0.01) as path:
        await path.publisher.publish("ride-requests", ride_requests(range(60), keys=24))
        await until(lambda: not path.spool.stats().records, "delivered")
        proxy.passing.clear()
        first, *others = events = ride_requests(range(60, 180), keys=24)
        await path.publisher.publish("ride-requests", [first])
        await until(lambda: proxy.waiting, "the first request")
        await path.publisher.publish("ride-requests", others)
        await until(lambda: len(path.pump.gate.in_flight) == config.partitions, "all under way")
        proxy.answer = Answer(INVALID_EPOCH, appended=False, is_last=True)
        proxy.passing.set()
        await until(lambda: not path.spool.stats().records, "delivered")
        assert (path.renewals, proxy.answer.given) == (1, 1)
    log = await delivered(kafka, config)
    assert {event.id for event in events} <= set(log)


async def test_record_that_the_broker_itself_refuses_is_alone_put_aside(kafka, config, tmp_path):
    """A record without a key in a compacted topic, among good ones; no proxy has a hand in it."""
    direct = kafka_config_for(kafka, config.topic_prefix)
    topic = full_name(direct, "keyed")
    await make_topic(direct, topic, cleanup_policy="compact")
    await make_topic(direct, f"{topic}.dlq")
    records = [WireRecord(b"%d" % number, b"%d" % number) for number in range(60)]
    records[23] = WireRecord(None, b"23")
    async with pumped(direct, tmp_path, wait_s=10) as path:
        for partition in (0, 1):
            good = records if partition == 0 else [r for r in records if r.key is not None]
            entries = [Entry(lane_of(topic, partition), pack(record)) for record in good]
            await path.spool.append(entries, durability=Durability.DURABLE, timeout_s=5)
        await until(lambda: not path.spool.stats().records, "delivered")
        (letter,) = path.box.letters()
        assert (letter.error_class, letter.lane) == ("87", f"{topic}/0")
    log = await read_topic(direct, topic)
    for partition in (0, 1):
        values = [record.value for record in log if record.partition == partition]
        good = [record.value for record in records if record.key is not None]
        assert list(dict.fromkeys(values)) == good


@pytest.mark.parametrize("topic", [RIDE_REQUESTS, SYSTEM_MODES, AUDIT])
async def test_refused_record_of_every_topic_is_copied_and_holds_up_nothing(
    kafka, proxy, config, tmp_path, topic
):
    """Once `audit.dlq` did not exist: the copy waited in the spool, and the mode was degraded."""
    event = ride_request(product="the-poison")
    proxy.answer = Answer(10, appended=False, times=10_000, concerns=holds_poison)
    async with pumped(config, tmp_path) as path:
        await path.publisher.publish(topic, [event])
        await until(path.box.letters, "a dead letter")
        await until(lambda: not path.spool.stats().records, "the copy delivered")
        assert not alarms(path)
    direct = kafka_config_for(kafka, config.topic_prefix)
    (copy,) = await read_topic(direct, dlq_of(full_name(direct, topic)))
    assert decode(copy).event.id == event.id


def holds_poison(topic: str, _partition: int, records: bytes) -> bool:
    return b"the-poison" in records and not topic.endswith(".dlq")


def path_of(config: KafkaConfig, key: str) -> str:
    from streaming.partitioning import partition_for

    number = partition_for(key.encode(), config.partitions)
    return f"{full_name(config, 'ride-requests')}/{number}"


def test_every_code_of_the_table_is_known_to_the_tests():
    operator = {code for code, verdict in BY_CODE.items() if verdict.action is Action.OPERATOR}
    untested = set(BY_CODE) - set(CODES) - operator
    assert untested == {8, 9, 13, 46, 49, 75, 90}
