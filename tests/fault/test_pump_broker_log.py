"""The pump against the limits of a broker: a full volume, retention, the greatest request."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from fallback.pump import PumpState
from fallback.pump.delivery_waiters import DeliveryWaiters
from fallback.spool import Spool, SpoolConfig
from pricing.embedded import ApacheKafka, free_ports
from pricing.embedded.directories import give_to_server, make_server_directory
from pricing.embedded.process import Program
from pricing.wiring.writing import ENTRY_BYTES
from pricing.writing.publisher import SpoolPublisher
from streaming.config import KafkaConfig
from streaming.errors import InvalidMessage
from streaming.events.codec import WireRecord, encode
from streaming.events.event_types import Event
from streaming.events.packing import pack
from streaming.partitioning import partition_for
from streaming.producing.batch_sender import BatchSender
from streaming.topics import all_topics, ensure_topics, full_name
from tests.support.kafka_log import ride_request, ride_requests
from tests.support.kafka_wire_proxy import KafkaWireProxy
from tests.support.loop_volume import MIB, demand_loop_volumes, make_image, mounted
from tests.support.oracle import Load, Oracle
from tests.support.pumped import SMALL, Pumped, ids_of, make_topic, pumped, read_topic, wall_ms
from tests.support.servers import has_apache_kafka
from tests.support.waiting import until

TOPIC = "ride-requests"
CONTROL = "equilibrium.control"
RETENTION_MS = 60_000
HOUR_S = 3_600
GREATEST_REQUEST = 100 * MIB
"""`socket.request.max.bytes`, as a broker has it by default."""
LANES = 110
LARGE = 1_000_000
LARGE_ENTRIES = SpoolConfig(
    segment_bytes=16 * MIB, quota_bytes=64 * MIB, free_floor_bytes=0, entry_bytes=ENTRY_BYTES
)


class TunedKafka(ApacheKafka):
    """A broker with settings of the test's own."""

    changes: dict[str, str] = {}  # noqa: RUF012 - the test sets it before the start

    def _program(self, ports: list[int]) -> Program:
        program = super()._program(ports)
        settings = self.directory / "server.properties"
        more = "".join(f"{name}={value}\n" for name, value in self.changes.items())
        settings.write_text(settings.read_text() + more)
        return program


class CrampedKafka(TunedKafka):
    """Keeps its log on the volume that is mounted at `volume` in its directory."""

    def _lay_out(self, template: Path) -> None:
        super()._lay_out(template)
        data = self.directory / "volume" / "data"
        if not data.exists():
            shutil.copytree(self.directory / "data", data)
            for path in (data, *data.iterdir()):
                give_to_server(path)
        self.changes = {"log.dirs": str(data)}


@asynccontextmanager
async def started(broker: ApacheKafka) -> AsyncIterator[KafkaConfig]:
    """The broker, and how to reach it without a proxy."""
    if not has_apache_kafka():
        pytest.skip("needs Apache Kafka: install Java 17 or newer and Maven")
    try:
        await broker.start()
        yield KafkaConfig(bootstrap_servers=broker.bootstrap_servers, request_timeout_ms=1_500)
    finally:
        await broker.kill()


async def until_delivered(path: Pumped) -> None:
    await until(lambda: not path.spool.stats().records, "delivered")


async def log_of(config: KafkaConfig) -> list[str]:
    return ids_of(await read_topic(config, full_name(config, TOPIC)))


async def test_full_log_volume_ends_the_broker_and_costs_no_event(own_directory, tmp_path):
    demand_loop_volumes()
    home = make_server_directory(own_directory / "kafka")
    broker = CrampedKafka(home)
    image = make_image(tmp_path / "volume", 64 * MIB)
    with mounted(image, home / "volume") as volume:
        async with started(broker) as config:
            await ensure_topics(config, timeout_s=20)
            ballast = volume / "ballast"
            ballast.write_bytes(bytes(shutil.disk_usage(volume).free - 2 * MIB))
            async with pumped(config, tmp_path, wait_s=0.002) as path:
                oracle = Oracle()
                await outlive(broker, path, oracle, ballast)
            records = await read_topic(config, full_name(config, TOPIC))
            assert oracle.judge(records).events > 2_000
            assert not oracle.refused


async def outlive(broker: ApacheKafka, path: Pumped, oracle: Oracle, ballast: Path) -> None:
    """Load the broker until it ends by itself, make room, start it: everything is delivered."""
    load = Load(oracle, events_per_s=2_000)
    load.publisher = path.publisher
    running = asyncio.create_task(load.run())
    await until(lambda: broker.pid is None, "the broker gives up", within_s=60)
    assert "No space left on device" in broker.log.read_text()
    await until(lambda: path.pump.state is PumpState.SPOOLING, "spooling")
    ballast.unlink()  # noqa: ASYNC240 - a moment
    await broker.start()
    await load.stop()
    await running
    await until_delivered(path)


async def test_backlog_older_than_the_retention_is_all_there_to_be_consumed(
    own_directory, tmp_path
):
    broker = TunedKafka(own_directory / "kafka")
    broker.changes = {
        "log.retention.check.interval.ms": "500",
        "log.initial.task.delay.ms": "500",
    }
    events = ride_requests(range(300))
    async with started(broker) as config:
        await forgetful_topics(config)
        await keep_an_hour_ago(config, tmp_path, events)
        async with pumped(config, tmp_path) as path:
            await until_delivered(path)
        assert len(await log_of(config)) == len(events)
        await produce_with_the_time_of_then(config, events)
        async with asyncio.timeout(RETENTION_MS / 2_000):
            while await read_topic(config, CONTROL):
                await asyncio.sleep(0.1)
        assert set(await log_of(config)) == {event.id for event in events}


async def forgetful_topics(config: KafkaConfig) -> None:
    """Our own topic, and one that differs from it in what it takes for a record's time."""
    name = full_name(config, TOPIC)
    (facts,) = [facts for facts in all_topics(config) if facts.name == name]
    settings = {**facts.settings, "retention.ms": str(RETENTION_MS)}
    await make_topic(config, name, **settings)
    await make_topic(config, CONTROL, **{**settings, "message.timestamp.type": "CreateTime"})


async def keep_an_hour_ago(config: KafkaConfig, directory: Path, events: list[Event]) -> None:
    """A spool in which events have been waiting for an hour."""
    async with Spool.open(
        directory / "spool", SMALL, now_wall_s=lambda: time.time() - HOUR_S
    ) as spool:
        publisher = SpoolPublisher(spool, DeliveryWaiters(), config, wait_s=0)
        await publisher.publish(TOPIC, events)
    async with Spool.open(directory / "spool", SMALL, with_intake=False) as spool:
        async for lane in spool.lanes():
            (record,) = await lane.take(max_records=1, max_bytes=MIB)
            assert record.appended_ms < wall_ms() - RETENTION_MS
            break


async def produce_with_the_time_of_then(config: KafkaConfig, events: list[Event]) -> None:
    """What a producer does that stamps a record with its event's own time."""
    then_ms = int((time.time() - HOUR_S) * 1000)
    producer = AIOKafkaProducer(bootstrap_servers=config.bootstrap_servers)
    async with asyncio.timeout(60), producer:
        for event in events:
            record = encode(event)
            await producer.send_and_wait(
                CONTROL,
                record.value,
                record.key,
                timestamp_ms=then_ms,
                headers=list(record.headers),
            )


@pytest.fixture
async def proxied(own_directory: Path) -> AsyncIterator[tuple[KafkaWireProxy, KafkaConfig]]:
    """A wire proxy in front of a broker, and how to reach the broker through it."""
    (port,) = free_ports(1)
    broker = ApacheKafka(own_directory / "kafka", advertised_port=port)
    async with started(broker) as direct, KafkaWireProxy(broker.proxied_port, port=port) as proxy:
        await ensure_topics(direct, timeout_s=20)
        yield proxy, replace(direct, bootstrap_servers=proxy.address, request_timeout_ms=10_000)


async def test_full_batches_of_every_partition_fit_into_one_request(proxied, tmp_path):
    """Six events as large as they may be, on their way at the same moment."""
    proxy, config = proxied
    keys = {partition_for(f"k{n}".encode(), 6): f"k{n}" for n in range(100)}
    events = [ride_request(n, key=key, product="x" * 999_000) for n, key in keys.items()]
    async with pumped(config, tmp_path, spool_config=LARGE_ENTRIES, wait_s=20) as path:
        receipts = await path.publisher.publish(TOPIC, events)
        assert [receipt.status for receipt in receipts] == ["sent"] * 6
        with pytest.raises(InvalidMessage, match="too_large"):
            await path.publisher.publish(TOPIC, [ride_request(product="x" * 1_000_001)])
        assert path.renewals == 0
    assert LARGE < max(proxy.requests) < GREATEST_REQUEST


async def test_more_than_a_request_can_hold_goes_in_several(proxied):
    """All batches together are larger than what a broker takes: such a request never ends."""
    proxy, config = proxied
    await make_topic(config, "equilibrium.wide", LANES)
    record = pack(WireRecord(b"k", bytes(LARGE)))
    async with BatchSender(config, now=time.time) as sender, asyncio.timeout(60):
        await asyncio.gather(
            *(sender.send("equilibrium.wide", n, [record], size=LARGE) for n in range(LANES))
        )
        assert not sender.renewals
    assert LANES * LARGE > GREATEST_REQUEST
    assert GREATEST_REQUEST / 4 < max(proxy.requests) < GREATEST_REQUEST
