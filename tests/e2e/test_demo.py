"""The demo as a person runs it: one process, real servers, a city, prices over HTTP."""

import asyncio
import os
import re
import socket
import subprocess
from datetime import datetime
from pathlib import Path

import httpx2
import pytest

from pricing.embedded import free_ports
from pricing.zones import load_catalogue
from streaming.config import KafkaConfig
from tests.support.processes import run_once, running
from tests.support.surge_model import counts_at, multiplier
from tests.support.whole_log import records_by_city

TRIPS = Path(__file__).parents[3] / "shared" / "data" / "nyc_trips_2019-03.csv"
READY = re.compile(r"^ready (http://127\.0\.0\.1:\d+)$", re.MULTILINE)

pytestmark = pytest.mark.timeout(240)


async def ready_url(demo, within_s=120):
    async with asyncio.timeout(within_s):
        while not (found := READY.search(demo.log)):
            assert demo.is_running, demo.log
            await asyncio.sleep(0.1)
    return found[1]


def kafka_of(data_dir) -> KafkaConfig:
    lines = (data_dir / "settings.env").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines)
    return KafkaConfig(
        bootstrap_servers=settings["EQUILIBRIUM_KAFKA_BOOTSTRAP_SERVERS"],
        partitions=int(settings.get("EQUILIBRIUM_KAFKA_PARTITIONS", "6")),
    )


async def live_prices(client, zone_ids):
    """An answer for every zone, all from Redis; asked until a surge shows."""
    async with asyncio.timeout(60):
        while True:
            response = await client.post("/api/v1/prices", json={"zone_ids": zone_ids})
            answers = response.json()["data"]
            surged = [one for one in answers if one["data"]["surge_multiplier"] > 1]
            if surged and all(answer["source"] == "redis" for answer in answers):
                return answers
            await asyncio.sleep(1)


def expected(zone, counts):
    """What the definitions make of the counts: demand, supply, multiplier and price in cents."""
    demand, supply = counts.of(zone.zone_id)
    micro = multiplier(
        demand,
        supply,
        counts.signal,
        zone_class=zone.zone_class,
        greatest_micro=zone.max_multiplier_micro,
    )
    cents = (2 * zone.base_fare_minor * micro + 1_000_000) // 2_000_000
    return demand, supply, micro, cents


def told(answer):
    data = answer["data"]
    return (
        data["demand_count"],
        data["supply_count"],
        round(data["surge_multiplier"] * 1_000_000),
        round(data["price"] * 100),
    )


@pytest.mark.skipif(not TRIPS.exists(), reason="the file of real trips is not on this machine")
async def test_prices_of_replayed_trips_follow_from_the_log(
    prepared_directory,
):
    (port,) = free_ports(1)
    catalogue = load_catalogue(None)
    where = ("--port", str(port), "--data-dir", str(prepared_directory))
    city = ("--trips", str(TRIPS), "--speed", "20", "--scale", "40", "--seed", "7")
    async with running("demo", *where, *city, settings={}, directory=prepared_directory) as demo:
        url = await ready_url(demo)
        async with httpx2.AsyncClient(base_url=url, trust_env=False, timeout=10) as client:
            answers = await live_prices(client, [zone.zone_id for zone in catalogue.zones])
        records = (await records_by_city(kafka_of(prepared_directory)))["nyc"]
        assert await demo.stop() == 0, demo.log
    ticks = {answer["timestamp"] for answer in answers}
    counts = {tick: counts_at(records, epoch_ms(tick)) for tick in ticks}
    for zone, answer in zip(catalogue.zones, answers, strict=True):
        assert told(answer) == expected(zone, counts[answer["timestamp"]]), zone.name
    assert sum(told(answer)[0] for answer in answers) > 20


def epoch_ms(moment):
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


async def test_a_short_demo_ends_by_itself_and_has_lost_nothing(own_directory):
    (port,) = free_ports(1)
    where = ("--port", str(port), "--data-dir", str(own_directory / "data"))
    code, printed = await run_once(
        "demo", *where, "--duration", "8", settings={}, directory=own_directory, within_s=120
    )
    assert code == 0, printed
    assert READY.search(printed)
    assert re.search(r"^lost: 0$", printed, re.MULTILINE)
    assert re.search(r"^unanswered: 0$", printed, re.MULTILINE)
    assert int(re.search(r"^events in: (\d+)$", printed, re.MULTILINE)[1]) > 0
    redis, rest = re.search(
        r"^answers by source: redis (\d+), (.*)$", printed, re.MULTILINE
    ).groups()
    assert int(redis) > 0, rest


async def test_a_port_in_use_is_said_in_one_line(own_directory):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, printed = await run_once(
            "demo",
            *("--port", str(port), "--data-dir", str(own_directory / "data")),
            settings={},
            directory=own_directory,
        )
    assert code == 1
    assert str(port) in printed.splitlines()[-1]
    assert printed.splitlines()[-1].startswith("equilibrium: ")
    assert "Traceback" not in printed


async def test_a_data_directory_in_use_is_said_in_one_line(prepared_directory):
    data = ("--data-dir", str(prepared_directory))
    async with running("stack", *data, settings={}, directory=prepared_directory) as first:
        async with asyncio.timeout(60):
            while "EQUILIBRIUM_REDIS_URL" not in first.log:
                await asyncio.sleep(0.1)
        code, printed = await run_once("stack", *data, settings={}, directory=prepared_directory)
        assert await first.stop() == 0, first.log
    assert code == 1
    assert len(printed.splitlines()) == 1
    assert "in use" in printed


@pytest.fixture
def small_disk(own_directory):
    disk = own_directory / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
async def test_a_full_disk_at_start_is_said_in_one_line(own_directory, small_disk):
    code, printed = await run_once(
        "stack", "--data-dir", str(small_disk / "data"), settings={}, directory=own_directory
    )
    assert code == 1
    last = printed.splitlines()[-1]
    assert last.startswith("equilibrium: ")
    assert "space" in last or "full" in last
    assert "Traceback" not in printed
