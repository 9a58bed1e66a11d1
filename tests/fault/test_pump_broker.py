"""The pump against what can befall a broker, one thing at a time."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from random import Random

import pytest

from fallback.pump import PumpState
from fallback.spool import Durability, Entry
from pricing.embedded import free_ports
from pricing.writing.spool_lanes import lane_of
from streaming.config import KafkaConfig
from streaming.events.codec import WireRecord
from streaming.events.packing import pack
from streaming.topics import full_name
from tests.support.broker_faults import Site, lose_acks_and_kill, site
from tests.support.kafka_log import ride_request, ride_requests
from tests.support.oracle import Oracle
from tests.support.pumped import QUICK, Pumped, admin_of, ids_of, make_topic, pumped, read_topic
from tests.support.waiting import until

TOPIC = "ride-requests"


@pytest.fixture
async def place(kafka_to_hurt, lent_kafka, topic_prefix):
    async with site(kafka_to_hurt, lent_kafka.advertised_port, topic_prefix) as place:
        yield place


def is_empty(path: Pumped) -> bool:
    return not path.spool.stats().records


def alarms(path: Pumped) -> set[tuple[str, str]]:
    return {(alarm.kind, alarm.reason) for alarm in path.pump.stats().alarms}


async def log_of(place: Site) -> list[str]:
    return ids_of(await read_topic(place.direct, full_name(place.direct, TOPIC)))


async def keep(path: Pumped, topic: str, partition: int, *records: WireRecord) -> None:
    """Append records to a lane past the publisher's own checks."""
    entries = [Entry(lane_of(topic, partition), pack(record)) for record in records]
    await path.spool.append(entries, durability=Durability.DURABLE, timeout_s=5)


async def test_events_wait_for_a_broker_that_is_dead(place, tmp_path):
    await place.broker.kill()
    async with pumped(place.config, tmp_path) as path:
        events = ride_requests(range(200))
        receipts = await path.publisher.publish(TOPIC, events)
        assert {receipt.status for receipt in receipts} == {"buffered"}
        await until(lambda: path.pump.state is PumpState.SPOOLING, "spooling")
        await until(lambda: alarms(path), "an alarm")
        await place.broker.start()
        await until(lambda: is_empty(path), "delivered")
        await until(lambda: path.pump.state is PumpState.HEALTHY, "healthy")
        await until(lambda: not alarms(path), "no alarm")
        (sent,) = await path.publisher.publish(TOPIC, [ride_request()])
        assert sent.status == "sent"
    assert {event.id for event in events} <= set(await log_of(place))


async def test_graceful_stop_for_longer_than_the_timeout_costs_no_producer(place, tmp_path):
    async with pumped(place.config, tmp_path, wait_s=5) as path:
        await path.publisher.publish(TOPIC, ride_requests(range(100)))
        await place.broker.stop()
        events = ride_requests(range(100, 300))
        await path.publishing(wait_s=0.01).publish(TOPIC, events)
        long_s = 3 * place.config.request_timeout_ms / 1000
        await until(lambda: path.outage_s > long_s, "an outage of three timeouts")
        await place.broker.start()
        await until(lambda: is_empty(path), "delivered")
        assert path.renewals == 0
    log = await log_of(place)
    assert len(log) == len(set(log)) == 300


async def test_lost_acks_and_a_kill_make_no_repeat(place, tmp_path):
    async with pumped(place.config, tmp_path, wait_s=0.01) as path:
        oracle = Oracle()
        await oracle.publish(path.publisher, 100)
        await until(lambda: is_empty(path), "delivered")
        fault = asyncio.create_task(lose_acks_and_kill(place, Random(1)))
        for _ in range(20):
            await oracle.publish(path.publisher, 20)
            await asyncio.sleep(0.02)
        await fault
        await until(lambda: is_empty(path), "delivered")
        assert path.renewals == 0
    records = await read_topic(place.direct, full_name(place.direct, TOPIC))
    assert oracle.judge(records).duplicates == 0


async def test_dead_connections_cost_one_request_timeout(place, tmp_path):
    async with pumped(place.config, tmp_path, wait_s=10) as path:
        await path.publisher.publish(TOPIC, ride_requests(range(12)))
        place.proxy.deaden()
        began_s = time.monotonic()
        receipts = await path.publisher.publish(TOPIC, ride_requests(range(12)))
        assert {receipt.status for receipt in receipts} == {"sent"}
        assert time.monotonic() - began_s < place.config.request_timeout_ms / 1000 + 1


async def test_log_that_the_broker_lost_raises_the_alarm(place, lent_kafka, tmp_path):
    lent_kafka.spoil()
    async with pumped(place.config, tmp_path, wait_s=5) as path:
        for number in range(10):
            await path.publisher.publish(TOPIC, [ride_request(number)])
        await place.broker.kill()
        cut_off(place)
        await place.broker.start()
        last = ride_request(10)
        await path.publisher.publish(TOPIC, [last])
        await until(lambda: is_empty(path), "delivered")
        await until(lambda: "lost_records" in {kind for kind, _ in alarms(path)}, "the alarm")
        assert path.renewals == 1
    log = await log_of(place)
    assert last.id in log
    assert len(log) < 11


def cut_off(place: Site) -> None:
    """Take the last batches out of the dead broker's log, as a lost disk cache would."""
    data = place.broker.directory / "data"
    topic = full_name(place.direct, TOPIC)
    logs = data.glob(f"{topic}-?/00000000000000000000.log")
    log = max(logs, key=lambda path: path.stat().st_size)
    with log.open("r+b") as file:
        file.truncate(log.stat().st_size * 7 // 10)
    for path in log.parent.glob("*.snapshot"):
        path.unlink()


@pytest.mark.parametrize("way", ["refused", "black hole", "frozen"])
async def test_new_start_while_every_lane_waits_leaves_none_behind(place, tmp_path, way):
    async with pumped(place.config, tmp_path, wait_s=0.01) as path:
        await path.publisher.publish(TOPIC, ride_requests(range(60)))
        await until(lambda: is_empty(path), "delivered")
        await break_(place, way)
        events = ride_requests(range(60, 180))
        await path.publisher.publish(TOPIC, events)
        lanes = {lane_of(full_name(place.config, TOPIC), number) for number in range(6)}
        busy = {lane for lane in lanes if lane in path.pump.gate.in_flight}
        path.sender.renew("a test wants it")
        await until(lambda: path.renewals == 1, "a new start")
        await mend(place, way)
        await until(lambda: is_empty(path), "delivered")
        assert len(busy) >= 4
    log = await log_of(place)
    assert {event.id for event in events} <= set(log)


async def break_(place: Site, way: str) -> None:
    if way == "refused":
        await place.proxy.refuse()
    elif way == "black hole":
        place.proxy.hold()
    else:
        place.broker.freeze()


async def mend(place: Site, way: str) -> None:
    if way == "frozen":
        place.broker.thaw()
    else:
        await place.proxy.heal()


@pytest.mark.parametrize("way", ["refused", "black hole", "frozen"])
async def test_end_is_bounded_while_batches_pend(place, tmp_path, way):
    before = asyncio.all_tasks()
    async with pumped(place.config, tmp_path, wait_s=0.01) as path:
        await path.publisher.publish(TOPIC, ride_requests(range(60)))
        await until(lambda: is_empty(path), "delivered")
        await break_(place, way)
        await path.publisher.publish(TOPIC, ride_requests(range(60)))
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 4
    with suppress(AssertionError):
        await until(lambda: not of_ours(asyncio.all_tasks() - before), "no task is left")
    assert of_ours(asyncio.all_tasks() - before) == []
    await mend(place, way)


async def test_end_with_a_batch_that_was_sent_before_leaves_no_error_behind(
    place, tmp_path, caplog
):
    async with pumped(place.config, tmp_path, wait_s=0.01) as path:
        await path.publisher.publish(TOPIC, ride_requests(range(60)))
        await until(lambda: is_empty(path), "delivered")
        place.proxy.hold(up=False)
        await path.publisher.publish(TOPIC, ride_requests(range(60)))
        batches = path.sender._generation._producer._message_accumulator
        await until(lambda: batches._pending_batches, "sent")
        await place.proxy.refuse()
        await until(lambda: batches._batches and not batches._pending_batches, "taken back")
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def of_ours(tasks: set[asyncio.Task[object]]) -> list[str]:
    """Tasks of the client side: the proxy has some of its own."""
    return [repr(task) for task in tasks if "tcp_proxy" not in repr(task)]


async def test_refused_batch_is_taken_apart_until_the_broker_takes_it(place, tmp_path):
    """The topic takes less than a batch has: nothing is poison, it only has to be smaller."""
    await make_topic(place.direct, "equilibrium.small", max_message_bytes="3000")
    await make_topic(place.direct, "equilibrium.small.dlq")
    async with pumped(place.config, tmp_path) as path:
        small = [WireRecord(b"k", bytes([n]) * 400) for n in range(50)]
        large = WireRecord(b"k", b"x" * 4_000)
        await keep(path, "equilibrium.small", 0, *small[:30], large, *small[30:])
        await keep(path, "equilibrium.small", 1, *small)
        await until(lambda: is_empty(path), "delivered")
        (letter,) = path.box.letters()
        assert (letter.error_class, letter.reason) == ("10", "message size too large")
    log = await read_topic(place.direct, "equilibrium.small")
    for partition in (0, 1):
        values = [record.value for record in log if record.partition == partition]
        assert list(dict.fromkeys(values)) == [record.value for record in small]


async def test_copy_of_a_dead_letter_reaches_its_topic(place, tmp_path):
    await make_topic(place.direct, "equilibrium.tiny", max_message_bytes="500")
    await make_topic(place.direct, "equilibrium.tiny.dlq")
    async with pumped(place.config, tmp_path) as path:
        await keep(path, "equilibrium.tiny", 3, WireRecord(b"k", b"x" * 900, (("h", b"1"),)))
        await until(path.box.letters, "a dead letter")
        await until(lambda: is_empty(path), "delivered")
    (copy,) = await read_topic(place.direct, "equilibrium.tiny.dlq")
    headers = dict(copy.headers)
    assert (copy.partition, copy.key, copy.value) == (3, b"k", b"x" * 900)
    assert (headers["dlq_topic"], headers["dlq_error_class"]) == (b"equilibrium.tiny", b"10")
    assert (headers["dlq_partition"], headers["dlq_attempts"]) == (b"3", b"1")


async def test_missing_topic_waits_with_an_alarm_and_harms_no_other(place, tmp_path):
    async with pumped(place.config, tmp_path, wait_s=5) as path:
        await keep(path, "equilibrium.late", 0, WireRecord(b"k", b"1"))
        alarm = ("stalled", "the topic is not there")
        await until(lambda: alarm in alarms(path), "the alarm")
        (receipt,) = await path.publisher.publish(TOPIC, [ride_request()])
        assert receipt.status == "sent"
        await make_topic(place.direct, "equilibrium.late")
        await until(lambda: is_empty(path), "delivered")
        await until(lambda: not alarms(path), "the alarm's end")
        assert not path.box.letters()


async def test_deleted_topic_is_waited_for(place, tmp_path):
    async with pumped(place.config, tmp_path, wait_s=5) as path:
        await make_topic(place.direct, "equilibrium.gone")
        await keep(path, "equilibrium.gone", 0, WireRecord(b"k", b"1"))
        await until(lambda: is_empty(path), "delivered")
        async with admin_of(place.direct) as admin:
            await admin.delete_topics(["equilibrium.gone"])
            async with asyncio.timeout(60):
                while "equilibrium.gone" in await admin.list_topics():
                    await asyncio.sleep(0.05)
        await keep(path, "equilibrium.gone", 0, WireRecord(b"k", b"2"))
        await until(lambda: alarms(path), "the alarm")
        await make_topic(place.direct, "equilibrium.gone")
        await until(lambda: is_empty(path), "delivered")
        assert not path.box.letters()
    assert [r.value for r in await read_topic(place.direct, "equilibrium.gone")] == [b"2"]


async def test_topic_with_too_few_partitions_is_parked_not_dead_lettered(place, tmp_path):
    await make_topic(place.direct, "equilibrium.narrow", 2)
    async with pumped(place.config, tmp_path, wait_s=5) as path:
        await keep(path, "equilibrium.narrow", 4, WireRecord(b"k", b"1"))
        alarm = ("parked", "the topic has 2 partitions, wanted 5")
        await until(lambda: alarm in alarms(path), "the alarm")
        (receipt,) = await path.publisher.publish(TOPIC, [ride_request()])
        assert receipt.status == "sent"
        assert not path.box.letters()
        async with admin_of(place.direct) as admin:
            from aiokafka.admin import NewPartitions

            await admin.create_partitions({"equilibrium.narrow": NewPartitions(6)})
        await until(lambda: is_empty(path), "delivered")


async def test_wrong_credentials_are_told_from_a_dead_broker(place, tmp_path):
    config = KafkaConfig(
        bootstrap_servers=place.broker.bootstrap_servers,
        request_timeout_ms=1_500,
        security_protocol="SASL_PLAINTEXT",
        sasl_username="somebody",
        sasl_password="wrong",
    )
    async with pumped(config, tmp_path) as path:
        (receipt,) = await path.publisher.publish(TOPIC, [ride_request()])
        assert receipt.status == "buffered"
        await until(
            lambda: any(kind == "parked" for kind, _ in alarms(path)), "parked", within_s=20
        )
    dead = KafkaConfig(bootstrap_servers=f"127.0.0.1:{free_ports(1)[0]}", request_timeout_ms=1_500)
    async with pumped(dead, tmp_path) as path:
        await until(lambda: alarms(path), "an alarm")
        assert {kind for kind, _ in alarms(path)} == {"stalled"}


async def test_every_attempt_is_stamped_with_its_own_time(place, tmp_path):
    """A broker without LogAppendTime must not see a backlog as old."""
    await make_topic(place.direct, "equilibrium.stamped", message_timestamp_type="CreateTime")
    await place.broker.kill()
    plain = KafkaConfig(
        bootstrap_servers=place.config.bootstrap_servers, idempotence=False, request_timeout_ms=500
    )
    async with pumped(plain, tmp_path, pump_config=QUICK) as path:
        await keep(path, "equilibrium.stamped", 0, WireRecord(b"k", b"1"))
        await until(lambda: path.outage_s > 2, "an outage of several attempts")
        healed_ms = time.time_ns() // 1_000_000
        await place.broker.start()
        await until(lambda: is_empty(path), "delivered")
    (record,) = await read_topic(place.direct, "equilibrium.stamped")
    assert record.timestamp_ms >= healed_ms - 1_000
