"""A real process takes events while its broker is hurt at random: nothing is left behind.

`SOAK_S=600` makes it ten minutes, `SOAK_SEED` another run, `SOAK_EVENTS_PER_S` a greater load;
`-s` shows the figures.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import httpx2
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from pricing.cli.spool_report import contents
from streaming.config import KafkaConfig
from streaming.topics import full_name
from tests.support.broker_faults import Site, hurt, own_site
from tests.support.event_service import Service
from tests.support.processes import Running
from tests.support.waiting import until

SECONDS = float(os.environ.get("SOAK_S", "20"))
SEED = int(os.environ.get("SOAK_SEED", "1"))
WARM_UP_S = min(10.0, SECONDS / 5)
EVENTS_PER_S = int(os.environ.get("SOAK_EVENTS_PER_S", "1000"))
BATCH = EVENTS_PER_S // 20
MIB = 1 << 20
ALLOWED_MIB = 64
"""What an outage may leave in the allocator's hands: look-ahead and batches hold 16 MiB each."""
CONNECTIONS = 8
"""That may be down at one look and up at the other: producer, readers, our own."""
SEGMENT_AND_SPARE_MIB = 32
POOL = min(32, (os.cpu_count() or 1) + 4)
"""Threads that asyncio keeps once it has needed them."""
HEALS_WITHIN_S = 100
"""A batch that the driver never ends is given up after a minute (`PumpConfig.renew_s`)."""
TOPICS = {
    "ride-requests": {"zone_id": "161"},
    "driver-status": {"zone_id": "161", "available": True},
}
NUMBERED = {"ride-requests": "rider_id", "driver-status": "driver_id"}
"""The field that says which event it is."""


pytestmark = pytest.mark.soak
DRAINED = 'spool_events{state="pending"} 0.0'


@dataclass
class Account:
    """What was sent to one topic, by number, and what the service promised of it."""

    sent: int = 0
    promised: dict[str, str] = field(default_factory=dict)
    """The number of each acknowledged event, by id, in order."""

    def judge(self, found: list[tuple[str, str]]) -> int:
        """Fails the test where a promise was broken; returns how many came more than once.

        `found` are ids and numbers in the order of the log.
        """
        times = Counter(identity for identity, _ in found)
        lost = [identity for identity in self.promised if identity not in times]
        assert not lost, f"{len(lost)} of {len(self.promised)} acknowledged events are lost"
        first = dict(found[::-1])  # the first one of each id comes last
        assert all(0 < int(number) <= self.sent for number in first.values())
        assert {identity: first[identity] for identity in self.promised} == self.promised
        order = list(dict.fromkeys(identity for identity, _ in found))
        assert [one for one in order if one in self.promised] == list(self.promised)
        return len(found) - len(times)


class Client:
    """Sends batches at a rate, to one topic after the other, each after the last was answered."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http
        self.accounts = {topic: Account() for topic in TOPICS}
        self.refused = 0
        self.statuses: Counter[str] = Counter()

    async def send(self, topic: str, count: int) -> list[str]:
        """The statuses; empty where nobody knows what became of the events."""
        account = self.accounts[topic]
        numbers = [str(account.sent + at) for at in range(1, count + 1)]
        account.sent += count
        body = [{**TOPICS[topic], NUMBERED[topic]: number} for number in numbers]
        try:
            response = await self._http.post(f"/api/v1/events/{topic}", json=body)
        except httpx2.TransportError:
            self.refused += count
            return []
        if response.status_code != 202:
            assert (response.status_code, "Retry-After" in response.headers) == (503, True)
            self.refused += count
            return []
        answers = response.json()["data"]
        account.promised |= zip((one["id"] for one in answers), numbers, strict=True)
        self.statuses.update(one["status"] for one in answers)
        return [one["status"] for one in answers]

    async def load(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        due_s, end_s = loop.time(), loop.time() + seconds
        while loop.time() < end_s:
            for topic in TOPICS:
                await self.send(topic, BATCH)
                due_s += BATCH / EVENTS_PER_S
                await asyncio.sleep(max(0.0, due_s - loop.time()))


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    descriptors: int
    threads: int
    memory_mib: int
    disk_mib: int

    @classmethod
    def of(cls, process: Running, state: Path) -> Footprint:
        home = Path(f"/proc/{process.pid}")
        status = dict(line.split(":", 1) for line in (home / "status").read_text().splitlines())
        return cls(
            descriptors=len(list((home / "fd").iterdir())),
            threads=int(status["Threads"]),
            memory_mib=int(status["VmRSS"].split()[0]) // 1024,
            disk_mib=sum(path.stat().st_blocks for path in state.rglob("*")) * 512 // MIB,
        )

    def is_back_at(self, baseline: Footprint) -> bool:
        return (
            self.descriptors <= baseline.descriptors + CONNECTIONS
            and self.threads <= baseline.threads + POOL
            and self.memory_mib <= baseline.memory_mib + ALLOWED_MIB
            and self.disk_mib <= max(baseline.disk_mib, SEGMENT_AND_SPARE_MIB)
        )


@pytest.fixture
async def place(own_directory: Path) -> AsyncIterator[Site]:
    async with own_site(own_directory) as place:
        yield place


async def until_sent(client: Client, http: httpx2.AsyncClient) -> None:
    """A fresh event of each topic is in Kafka, and nothing waits any more."""
    async with asyncio.timeout(HEALS_WITHIN_S):
        for topic in TOPICS:
            while await client.send(topic, 1) != ["sent"]:
                await asyncio.sleep(0.1)
        while DRAINED not in (await http.get("/metrics")).text:
            await asyncio.sleep(0.2)


async def time_to_heal(
    client: Client, http: httpx2.AsyncClient, process: Running, state: Path
) -> float:
    """Seconds until everything flows again; fails the test, and says what waits, if it does not."""
    began_s = time.monotonic()
    try:
        await until_sent(client, http)
    except TimeoutError:
        pytest.fail(await what_waits(http, process, state))
    return time.monotonic() - began_s


async def what_waits(http: httpx2.AsyncClient, process: Running, state: Path) -> str:
    """For the message of a failed test: what is in the spool, and what the process says of it."""
    found = contents(state / "spool" / "0")
    metrics = (await http.get("/metrics")).text.splitlines()
    ours = [line for line in metrics if line.startswith(("pump_", "spool_"))]
    told = [line for line in ours if "bucket" not in line]
    return "\n".join([f"pending: {dict(found.pending)}", *told, process.log[-8_000:]])


@pytest.mark.timeout(SECONDS * 3 + 180)
async def test_minutes_of_faults_leave_nothing_behind(place, own_directory):
    service = Service(place.config, own_directory, EQUILIBRIUM_SPOOL_QUOTA_BYTES="1073741824")
    state = own_directory / "state"
    async with service.up() as (process, http):
        client = Client(http)
        await client.load(WARM_UP_S)
        await until_sent(client, http)
        baseline = Footprint.of(process, state)
        hurting = asyncio.create_task(hurt(place, Random(SEED), SECONDS))
        while not hurting.done():
            await client.load(0.5)
        faults = await hurting
        healed_s = await time_to_heal(client, http, process, state)
        # What the process gives back in its own time: connections, delivered segments.
        with suppress(AssertionError):
            await until(lambda: Footprint.of(process, state).is_back_at(baseline), "back", 60)
        now = Footprint.of(process, state)
        tell(client, faults, healed_s, baseline, now)
        assert now.is_back_at(baseline)
        assert await process.stop() == 0, process.log
    for topic, account in client.accounts.items():
        duplicates = account.judge(await log_of(place.direct, topic))
        sys.stdout.write(f"{topic}: {len(account.promised)} acknowledged, {duplicates} twice\n")


def tell(client: Client, faults: int, healed_s: float, baseline: Footprint, now: Footprint) -> None:
    sys.stdout.write(
        f"\n{SECONDS:g} s, seed {SEED}: {faults} faults, {dict(client.statuses)}, "
        f"{client.refused} refused or unanswered, all delivered {healed_s:.1f} s after the last\n"
        f"before {baseline}\nafter  {now}\n"
    )


async def log_of(config: KafkaConfig, topic: str) -> list[tuple[str, str]]:
    """Id and number of every record, in the order of its partition."""
    name, found = full_name(config, topic), defaultdict(list)
    places = [TopicPartition(name, number) for number in range(config.partitions)]
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.bootstrap_servers, auto_offset_reset="earliest"
    )
    async with asyncio.timeout(120), consumer:
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for place, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    identity = dict(record.headers)["ce_id"].decode()
                    number = orjson.loads(record.value)[NUMBERED[topic]]
                    found[place.partition].append((identity, number))
    return [one for number in sorted(found) for one in found[number]]
