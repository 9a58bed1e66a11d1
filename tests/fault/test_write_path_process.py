"""The write path in processes of its own, which are stopped and killed."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path
from random import Random

import httpx2
import pytest

from pricing.embedded import free_ports
from streaming.config import KafkaConfig
from streaming.events.codec import decode
from streaming.events.event_types import RIDE_REQUEST
from streaming.topics import ensure_topics, full_name
from tests.support.event_service import RIDES, Service, post
from tests.support.loop_volume import MIB, demand_loop_volumes, make_image, mounted
from tests.support.oracle import Oracle
from tests.support.pumped import ids_of, pumped, read_topic
from tests.support.servers import kafka_config_for
from tests.support.waiting import until

LARGE = [{"zone_id": "161", "rider_id": "r" * 64, "product": "p" * 64}] * 500
UNBOUND = {"EQUILIBRIUM_SPOOL_QUOTA_BYTES": str(1 << 30)}
KILLS = int(os.environ.get("PUMP_KILLS", "5"))


@pytest.fixture
async def direct(kafka, kafka_proxy, topic_prefix) -> KafkaConfig:
    config = kafka_config_for(kafka, topic_prefix)
    await ensure_topics(config, timeout_s=20)
    return config


@pytest.fixture
def service(proxied_kafka_config, own_directory) -> Service:
    return Service(proxied_kafka_config, own_directory)


async def log_of(direct: KafkaConfig) -> list[str]:
    return ids_of(await read_topic(direct, full_name(direct, "ride-requests")))


async def until_logged(direct: KafkaConfig, wanted: set[str], within_s: float = 60) -> list[str]:
    async with asyncio.timeout(within_s):
        while not wanted <= set(log := await log_of(direct)):
            await asyncio.sleep(0.1)
    return log


async def test_events_taken_with_kafka_dead_survive_a_kill_and_arrive_in_order(
    service, direct, kafka_proxy
):
    await kafka_proxy.refuse()
    taken = []
    for _ in range(2):
        async with service.up() as (process, client):
            for _ in range(20):
                taken += await post(client, 5)
            await process.kill()
    assert {status for _, status in taken} == {"buffered"}
    async with service.up() as (process, client):
        await kafka_proxy.heal()
        log = await until_logged(direct, {identity for identity, _ in taken})
        assert await post(client) != []
        assert await process.stop() == 0
    assert list(dict.fromkeys(log))[: len(taken)] == [identity for identity, _ in taken]


async def test_healthy_service_says_sent(proxied_kafka_config, direct, own_directory):
    # Longer than a busy machine takes to acknowledge.
    patient = Service(proxied_kafka_config, own_directory, EQUILIBRIUM_PUBLISH_WAIT_MS="5000")
    async with patient.up() as (process, client):
        await post(client)
        assert {(await post(client))[0][1] for _ in range(20)} == {"sent"}
        metrics = (await client.get("/metrics")).text
        assert 'pump_state{state="healthy"} 1.0' in metrics
        assert await process.stop() == 0


@pytest.mark.parametrize("way", ["refused", "black hole"])
async def test_end_comes_within_ten_seconds_with_kafka_away(service, direct, kafka_proxy, way):
    async with service.up() as (process, client):
        await post(client)
        if way == "refused":
            await kafka_proxy.refuse()
        else:
            kafka_proxy.hold()
        await post(client, 100)
        began_s = time.monotonic()
        assert await process.stop() == 0
        assert time.monotonic() - began_s < 8
        await kafka_proxy.heal()


async def test_key_gets_the_same_ids_after_a_kill_and_makes_no_second_event(
    service, direct, kafka_proxy
):
    key = {"Idempotency-Key": "abc"}
    async with service.up() as (process, client):
        first = await post(client, 3, **key)
        await process.kill()
    async with service.up() as (process, client):
        again = await post(client, 3, **key)
        other = await client.post(RIDES, json={"zone_id": "162"}, headers=key)
        assert await process.stop() == 0
    assert [identity for identity, _ in first] == [identity for identity, _ in again]
    assert other.status_code == 409
    log = await until_logged(direct, {identity for identity, _ in first})
    # The kill may make the pump repeat its last batch, under the same ids.
    assert set(log) == {identity for identity, _ in first}


async def test_full_spool_refuses_with_a_time_and_takes_again_by_itself(
    service, direct, kafka_proxy
):
    await kafka_proxy.refuse()
    async with service.up() as (process, client):
        await fill(client)
        price = await client.get("/api/v1/zones/161/price")
        assert price.status_code == 200
        await kafka_proxy.heal()
        async with asyncio.timeout(60):
            while (await client.post(RIDES, json=LARGE[:1])).status_code != 202:
                await asyncio.sleep(0.2)
        assert await process.stop() == 0


async def test_full_volume_refuses_events_then_sends_and_takes_again_without_a_restart(
    proxied_kafka_config, direct, kafka_proxy, own_directory
):
    demand_loop_volumes()
    image = make_image(own_directory / "volume", 64 * MIB)
    with mounted(image, own_directory / "state") as volume:
        (volume / "ballast").write_bytes(bytes(shutil.disk_usage(volume).free - 36 * MIB))
        # The quota is no limit here: the volume is.
        service = Service(proxied_kafka_config, own_directory, **UNBOUND)
        await kafka_proxy.refuse()
        async with service.up() as (process, client):
            taken = await fill(client)
            assert (await client.get("/api/v1/zones/161/price")).status_code == 200
            await kafka_proxy.heal()
            async with asyncio.timeout(60):
                while (response := await client.post(RIDES, json=LARGE[:1])).status_code != 202:
                    await asyncio.sleep(0.2)
            taken += [one["id"] for one in response.json()["data"]]
            await until_drained(client)
            assert await process.stop() == 0
    there = set(taken)
    assert [one for one in dict.fromkeys(await log_of(direct)) if one in there] == taken


async def until_drained(client: httpx2.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while 'spool_events{state="pending"} 0.0' not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.2)


async def fill(client: httpx2.AsyncClient) -> list[str]:
    """Ids of what was taken until the first refusal, which says when to come again."""
    taken: list[str] = []
    while (response := await client.post(RIDES, json=LARGE)).status_code == 202:
        taken += [one["id"] for one in response.json()["data"]]
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    return taken


async def test_broken_disk_refuses_events_and_prices_go_on(service, own_directory):
    (own_directory / "state").mkdir()
    for name in ("spool", "dead-letters"):
        (own_directory / "state" / name).write_text("not a directory")
    async with service.up() as (process, client):
        response = await client.post(RIDES, json={"zone_id": "161"})
        assert response.status_code == 503
        assert (await client.get("/api/v1/zones/161/price")).status_code == 200
        assert (await client.get("/health/dlq")).json()["status"] == "unknown"
        assert await process.stop() == 0


async def test_second_process_has_its_own_spool_and_adopts_the_first_ones(
    service, direct, kafka_proxy
):
    await kafka_proxy.refuse()
    other = Service(direct, service.directory)
    async with service.up() as (first, client), other.up() as (second, other_client):
        taken = await post(client, 50) + await post(other_client, 50)
        await first.kill()
        await second.kill()
    spools = service.directory / "state" / "spool"
    assert sorted(path.name for path in spools.iterdir()) == ["0", "1"]
    await kafka_proxy.heal()
    async with service.up() as (process, _client):
        await until_logged(direct, {identity for identity, _ in taken})
        await until(lambda: [path.name for path in spools.iterdir()] == ["0"], "adopted")
        assert await process.stop() == 0


async def test_commands_see_send_and_mend_what_a_dead_process_left(service, direct, kafka_proxy):
    await kafka_proxy.refuse()
    async with service.up() as (process, client):
        taken = await post(client, 30)
        code, text = await service.command("spool", "ls", "--json")
        assert (code, json.loads(text)["data"][0]["held"]) == (0, True)
        await process.kill()
    code, text = await service.command("spool", "ls", "--json")
    (spool,) = json.loads(text)["data"]
    pending = spool["pending"]  # changes of the mode wait beside the rides, the more the slower
    assert (code, spool["held"], pending >= 30, spool["damaged"]) == (0, False, True, 0)
    code, text = await service.command("spool", "export", "--json")
    exported = [json.loads(line)["headers"] for line in text.splitlines()]
    rides = [headers["ce_id"] for headers in exported if headers["ce_type"] == RIDE_REQUEST]
    assert (len(exported), rides) == (pending, [identity for identity, _ in taken])
    assert (await service.command("spool", "check"))[0] == 0
    await kafka_proxy.heal()
    code, text = await service.command("spool", "replay", "--json")
    assert (code, f'"sent": {pending}' in text) == (0, True)
    assert await log_of(direct) == [identity for identity, _ in taken]
    code, text = await service.command("spool", "repair", "--json")
    assert (code, json.loads(text)["data"][0]["pending"]) == (0, 0)


@pytest.mark.soak
@pytest.mark.timeout(60 + 10 * KILLS)
async def test_kill_in_mid_replay_costs_nothing_but_a_batch_of_each_partition(direct, tmp_path):
    oracle, random = Oracle(), Random(1)
    (dead,) = free_ports(1)
    away = KafkaConfig(bootstrap_servers=f"127.0.0.1:{dead}", topic_prefix=direct.topic_prefix)
    async with pumped(away, tmp_path, wait_s=0) as path:
        for _ in range(max(60, 12 * KILLS)):
            await oracle.publish(path.publisher, 500)
    kills = 0
    while not await drained_before(tmp_path, direct, random.uniform(0.02, 0.25), kills < KILLS):
        kills += 1
    records = await read_topic(direct, full_name(direct, "ride-requests"))
    verdict = oracle.judge(records)
    sys.stdout.write(f"\n{kills} kills, {verdict.events} events, {verdict.duplicates} duplicates\n")
    assert kills >= min(KILLS, 3)
    assert verdict.duplicates <= kills * 6 * 100 * 3


async def drained_before(
    directory: Path, config: KafkaConfig, after_s: float, may_kill: bool
) -> bool:
    """Replay until killed, so long after the first acknowledgement; True: it came to its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.pump_process", str(directory)),
        *(config.bootstrap_servers, config.topic_prefix),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    sent = 0
    async for line in process.stdout:
        word = line.decode().split()
        if word == ["drained"]:
            await process.wait()
            return True
        if word[:1] == ["sent"] and may_kill and int(word[1]) > sent:
            await asyncio.sleep(after_s)
            with suppress(ProcessLookupError):  # it was quicker
                process.kill()
            break
    await process.wait()
    return False


async def test_dead_letter_is_put_back_by_the_command_and_delivered_with_its_id(
    service, direct, kafka_proxy
):
    async with pumped(direct, service.directory / "other", wait_s=0) as path:
        oracle = Oracle()
        await path.publisher.publish("ride-requests", [])
        await oracle.publish(path.publisher, 1)
        await until(lambda: not path.spool.stats().records, "delivered")
    (record,) = await read_topic(direct, full_name(direct, "ride-requests"))
    identity = add_dead_letter(service, record)
    assert (await service.command("dlq", "show", identity))[0] == 0
    code, text = await service.command("dlq", "ls", "--json")
    assert (code, json.loads(text)["total"]) == (0, 1)
    async with service.up() as (process, client):
        await until_health(client, letters=1)
        assert (await service.command("dlq", "retry", identity))[0] == 0
        async with asyncio.timeout(60):
            while len(log := await log_of(direct)) < 2:
                await asyncio.sleep(0.1)
        assert log == [decode(record).event.id] * 2
        await until_health(client, letters=0)
        assert (await service.command("dlq", "discard", identity))[0] == 1
        assert await process.stop() == 0


async def until_health(client: httpx2.AsyncClient, *, letters: int) -> None:
    async with asyncio.timeout(60):
        while (await client.get("/health/dlq")).json()["letters"] != letters:
            await asyncio.sleep(0.1)


def add_dead_letter(service: Service, record) -> str:
    from fallback.pump.dead_letters import DeadLetterBox
    from streaming.events.codec import WireRecord
    from streaming.events.packing import pack

    box = DeadLetterBox(service.directory / "state" / "dead-letters", now_ms=lambda: 1)
    body = pack(WireRecord(record.key, record.value, record.headers))
    lane = f"{record.topic}/{record.partition}"
    letter = box.add(
        lane=lane, seq=1, body=body, error_class="10", reason="test", attempts=1, appended_ms=1
    )
    return letter.id
