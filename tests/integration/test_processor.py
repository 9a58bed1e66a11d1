"""The processor as a process, on real servers: what it writes equals the definitions."""

import asyncio
import random
import time
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer

from pricing.model import Zone
from pricing.zones import Catalogue
from pricing.zones.zone_file import serialise_zones
from streaming.events.codec import decode
from streaming.events.event_types import DRIVER_STATUS, RIDE_REQUEST, Event, new_event_id, rfc3339
from streaming.topics import ensure_topics, full_name
from tests.support import servers
from tests.support.grid_city import grid_zones
from tests.support.kafka_log import event_producer
from tests.support.processes import SHORT, SHORT_WINDOWS, environment, run_once, running
from tests.support.surge_model import counts_at, multiplier
from tests.support.whole_log import INPUTS, records_by_city, whole_topics

CITIES = ("ams", "ber", "cph", "dub", "hel", "lis", "mad", "nyc")
FEED_S = 12.0

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def zones():
    """Eight cities of four zones, spread over the partitions."""
    return [
        Zone(**{**facts(zone), "zone_id": f"{city}-{zone.zone_id}", "city_id": city})
        for city in CITIES
        for zone in grid_zones(2)
    ]


def facts(zone):
    return {name: getattr(zone, name) for name in Zone.__dataclass_fields__}


@pytest.fixture
async def settings(own_directory, database_url, redis_url, kafka_config, zones):
    zones_file = own_directory / "zones.csv"
    zones_file.write_text(serialise_zones(zones))
    await ensure_topics(kafka_config, timeout_s=30)
    values = environment(
        database_url=database_url,
        redis_url=redis_url,
        kafka=kafka_config,
        state_dir=own_directory / "state",
        EQUILIBRIUM_ZONES_FILE=str(zones_file),
        **SHORT,
    )
    code, printed = await run_once("migrate", settings=values, directory=own_directory)
    assert code == 0, printed
    return values


def processor(settings, directory: Path, name: str):
    named = {**settings, "EQUILIBRIUM_PROCESSOR_INSTANCE": name}
    return running("processor", settings=named, directory=directory)


async def feed(kafka_config, zones, for_s: float, seed: int) -> None:
    """Random requests and heartbeats, with repeats, wrong zones and stragglers."""
    chance = random.Random(seed)
    ends_at = time.monotonic() + for_s
    async with event_producer(kafka_config) as producer:
        while time.monotonic() < ends_at:
            for topic in INPUTS:
                events = [event(topic, chance, chance.choice(zones)) for _ in range(8)]
                events += chance.sample(events, 2)
                await producer.send(full_name(kafka_config, topic), events, timeout_s=10)
            await asyncio.sleep(0.1)


def event(topic, chance, zone):
    occurred_ms = int(time.time() * 1000) - chance.choice([0, 0, 0, 400, 3_000, 30_000, -2_000])
    shared = {"city_id": zone.city_id, "zone_id": zone.zone_id, "occurred_at": rfc3339(occurred_ms)}
    own = (
        {"request_id": f"r{chance.randrange(400)}"}
        if topic == "ride-requests"
        else {"driver_id": f"d{chance.randrange(60)}", "available": chance.random() < 0.7}
    )
    return Event(
        id=new_event_id(),
        type=RIDE_REQUEST if topic == "ride-requests" else DRIVER_STATUS,
        source="/test",
        time_ms=occurred_ms,
        key=zone.city_id,
        data={**own, **shared},
    )


async def history(database_url):
    """Rows by (zone, tick), and each city's last tick."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT *, (extract(epoch FROM window_end) * 1000)::bigint AS tick FROM zone_snapshots"
        )
        last = await connection.fetch(
            "SELECT city_id, (extract(epoch FROM last_tick) * 1000)::bigint AS tick FROM city_ticks"
        )
    finally:
        await connection.close()
    return {(row["zone_id"], row["tick"]): row for row in rows}, dict(last)


async def until_written(database_url, tick_ms, within_s=40):
    async with asyncio.timeout(within_s):
        while True:
            _, last = await history(database_url)
            if len(last) == len(CITIES) and min(last.values()) >= tick_ms:
                return
            await asyncio.sleep(0.2)


def assert_equal_to_the_model(rows, last_ticks, records, zones, since_ms):
    """Every tick of every zone since then is written as the definitions say, or left out rightly.

    Returns how many zone states were compared.
    """
    compared = 0
    carried = {}
    for city_id, last_ms in last_ticks.items():
        own = [zone.zone_id for zone in zones if zone.city_id == city_id]
        for tick_ms in range(since_ms, last_ms + 1, 1_000):
            counts = counts_at(records[city_id], tick_ms, SHORT_WINDOWS)
            for zone_id in own:
                row = carried[zone_id] = rows.get((zone_id, tick_ms), carried.get(zone_id))
                if row is not None:
                    compared += 1
                    told = (counts.of(zone_id), counts.signal)
                    assert (found_in(row), zone_id, tick_ms) == (told, zone_id, tick_ms)
                    price = multiplier(*told[0], told[1], zone_class="core")
                    assert row["multiplier_micro"] == price
    return compared


def found_in(row):
    return ((row["demand_count"], row["supply_count"]), row["signal"])


async def test_states_are_the_definitions_through_a_kill(
    settings, own_directory, kafka_config, database_url, zones
):
    started_ms = int(time.time()) * 1000
    feeding = asyncio.create_task(feed(kafka_config, zones, FEED_S, seed=1))
    async with processor(settings, own_directory, "p1") as first:
        await until_written(database_url, started_ms + 3_000)
        await first.kill()
    async with processor(settings, own_directory, "p1") as second:
        await feeding
        await until_written(database_url, int(time.time() * 1000) + 1_000)
        assert await second.stop() == 0, second.log
    rows, last_ticks = await history(database_url)
    compared = assert_equal_to_the_model(
        rows, last_ticks, await records_by_city(kafka_config), zones, started_ms - 5_000
    )
    assert compared > len(zones) * FEED_S / 2


async def test_partitions_move_without_loss_or_double(
    settings, own_directory, kafka_config, database_url, zones
):
    started_ms = int(time.time()) * 1000
    feeding = asyncio.create_task(feed(kafka_config, zones, FEED_S, seed=2))
    async with (
        processor(settings, own_directory, "p1") as first,
        processor(settings, own_directory, "p2") as second,
    ):
        await until_written(database_url, started_ms + 4_000)
        assert await first.stop() == 0, first.log
        await feeding
        await until_written(database_url, int(time.time() * 1000) + 1_000)
        assert await second.stop() == 0, second.log
    rows, last_ticks = await history(database_url)
    compared = assert_equal_to_the_model(
        rows, last_ticks, await records_by_city(kafka_config), zones, started_ms - 5_000
    )
    assert compared > len(zones) * FEED_S / 2
    assert_prices_agree(await whole_topics(kafka_config, ["zone-prices"]), rows)


def assert_prices_agree(published, rows):
    """Every price on the topic is in the history, and one that was sent twice is the same."""
    seen = {}
    for record in published:
        price = decode(record).payload
        row = rows[price.zone_id, price.version]
        assert round(price.multiplier * 1_000_000) == row["multiplier_micro"]
        assert price.demand_count == row["demand_count"]
        event_id = decode(record).event.id
        assert seen.setdefault((price.zone_id, price.version), event_id) == event_id


async def test_unreadable_records_do_not_stop_their_partition(
    settings, own_directory, kafka_config, database_url, zones
):
    topic = full_name(kafka_config, "ride-requests")
    producer = AIOKafkaProducer(bootstrap_servers=kafka_config.bootstrap_servers)
    async with asyncio.timeout(60), producer:
        await producer.send_and_wait(topic, b"no json", key=b"ams", headers=headers())
        await producer.send_and_wait(topic, b"{}", key=b"ams", headers=headers("other.v1"))
        newer = RIDE_REQUEST.replace(".v1", ".v9")
        await producer.send_and_wait(topic, b"{}", key=b"ams", headers=headers(newer))
    async with processor(settings, own_directory, "p1") as only:
        await feed(kafka_config, zones, 2.0, seed=3)
        await until_written(database_url, int(time.time() * 1000) + 1_000)
        assert await only.stop() == 0, only.log
    async with processor(settings, own_directory, "p1") as again:
        await until_written(database_url, int(time.time() * 1000) + 1_000)
        assert await again.stop() == 0, again.log
    dead = await whole_topics(kafka_config, ["ride-requests.dlq"])
    assert [record.value for record in dead] == [b"no json", b"{}", b"{}"]
    rows, _ = await history(database_url)
    assert any(row["demand_count"] for row in rows.values())


async def test_processor_ends_in_time_with_broker_frozen(
    kafka_to_hurt, topic_prefix, own_directory, database_url, redis_url, zones
):
    kafka = servers.kafka_config_for(kafka_to_hurt, topic_prefix)
    await ensure_topics(kafka, timeout_s=30)
    values = environment(
        database_url=database_url,
        redis_url=redis_url,
        kafka=kafka,
        state_dir=own_directory / "state",
        **SHORT,
    )
    code, printed = await run_once("migrate", settings=values, directory=own_directory)
    assert code == 0, printed
    async with processor(values, own_directory, "p1") as only:
        async with asyncio.timeout(60):
            while "partition opened" not in only.log:
                await asyncio.sleep(0.1)
        kafka_to_hurt.freeze()
        try:
            async with asyncio.timeout(60):
                while "no answer within the deadline" not in only.log:
                    await asyncio.sleep(0.1)
            assert await only.stop() == 0, only.log
        finally:
            kafka_to_hurt.thaw()


def headers(event_type=RIDE_REQUEST):
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", new_event_id().encode()),
        ("ce_type", event_type.encode()),
        ("ce_source", b"/test"),
    ]


def test_cities_here_share_partitions_and_spread(zones):
    from streaming.partitioning import partition_for

    slots = {partition_for(city.encode(), 6) for city in Catalogue(zones).city_ids}
    assert 2 <= len(slots) < len(CITIES)
