"""An API process behind fault proxies, live states in its stores, and readers who time it."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from pricing.embedded.ports import free_ports
from pricing.errors import DependencyError
from pricing.ports import CityTick
from pricing.stores.migrate import migrate
from pricing.stores.postgres_client import DatabaseConfig
from pricing.stores.postgres_states import PostgresStates
from pricing.stores.redis_states import RedisConfig, RedisStates
from pricing.zones import load_catalogue
from tests.support.processes import Running, running
from tests.support.tcp_proxy import Reply, TcpProxy
from tests.support.zone_states import zone_state

ZONES = load_catalogue(None).zones
TICK_S = 1.0
GUARD_S = 0.1
"""The deadline of a read from Redis, as shipped."""
DEPENDENCIES = ("redis", "database", "kafka")
COMBINATIONS = [
    frozenset(dead)
    for number in range(len(DEPENDENCIES) + 1)
    for dead in itertools.combinations(DEPENDENCIES, number)
]
REAL = {"redis", "database", "stale_cache"}
"""Sources of a price that is the zone's own. On a busy machine the proxies answer so late that a
breaker opens without a fault, and a store that has come back gets its load in steps."""

QUICK = {
    # Short waits, so that a test sees breakers open and close; everything else as shipped.
    "EQUILIBRIUM_BREAKER_REDIS": "redis,wait_duration_in_open_s=0.3,max_wait_duration_in_open_s=1",
    "EQUILIBRIUM_BREAKER_DATABASE": (
        "database,wait_duration_in_open_s=0.3,max_wait_duration_in_open_s=1"
    ),
    "EQUILIBRIUM_STALE_REFRESH_S": "0.5",
    "EQUILIBRIUM_TICK_S": "1",
    "EQUILIBRIUM_MODE_DOWN_DWELL_S": "1",
}


@asynccontextmanager
async def ticking(redis_url: str, database_url: str) -> AsyncIterator[None]:
    """A processor's work in short: every zone in both stores, anew each second."""
    await migrate(DatabaseConfig(url=database_url), ZONES, timeout_s=30)
    cache_config = RedisConfig(url=redis_url, timeout_ms=5_000, write_timeout_ms=5_000)
    async with (
        RedisStates(cache_config) as cache,
        PostgresStates(DatabaseConfig(url=database_url, timeout_ms=5_000)) as store,
    ):
        await _tick(cache, store)
        stop = asyncio.Event()
        task = asyncio.create_task(_keep_ticking(cache, store, stop))
        try:
            yield
        finally:
            stop.set()
            await task


async def _tick(cache: RedisStates, store: PostgresStates) -> None:
    now_ms = time.time_ns() // 1_000_000
    states = [
        zone_state(zone.zone_id, now_ms, base_fare_minor=zone.base_fare_minor) for zone in ZONES
    ]
    await cache.write(states)
    await store.write_tick(CityTick(city_id="nyc", tick_ms=now_ms, snapshots=states))


async def _keep_ticking(cache: RedisStates, store: PostgresStates, stop: asyncio.Event) -> None:
    # Ended by a flag: a driver may swallow a cancellation.
    while not stop.is_set():
        await asyncio.wait([asyncio.ensure_future(stop.wait())], timeout=TICK_S)
        try:
            await _tick(cache, store)
        except DependencyError:
            continue  # the test has stopped a server


@dataclass
class Seen:
    """What readers saw."""

    latencies_s: list[float] = field(default_factory=list)
    sources: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def percentile_ms(self, percent: int) -> float:
        return 1000 * statistics.quantiles(self.latencies_s, n=100)[percent - 1]

    def __str__(self) -> str:
        return (
            f"{len(self.latencies_s)} reads, p50 {self.percentile_ms(50):.1f} ms, "
            f"p99 {self.percentile_ms(99):.1f} ms, {dict(self.sources)}"
        )


class Api:
    """A running API process."""

    def __init__(self, process: Running, port: int, started_s: float) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.started_s = started_s
        """From the start of the process until the port answered."""

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx2.AsyncClient]:
        # Certificates that nobody needs would take 30 ms to load, and the proxies stand meanwhile.
        async with httpx2.AsyncClient(base_url=self.url, timeout=5, verify=False) as client:
            yield client

    async def get(self, path: str) -> httpx2.Response:
        """One answer. The wait for it ends a hang, and says nothing of speed."""
        async with self.client() as client:
            return await client.get(path, timeout=30)

    async def read_for(self, seconds: float, readers: int = 8) -> Seen:
        """Read prices of all zones in turn, as fast as so many readers do."""
        async with self.reading(readers, pause_s=0) as seen:
            await asyncio.sleep(seconds)
        return seen

    @asynccontextmanager
    async def reading(self, readers: int = 4, *, pause_s: float = 0.02) -> AsyncIterator[Seen]:
        """Read prices of all zones in turn for the length of the block."""
        seen, over = Seen(), asyncio.Event()
        async with self.client() as client:
            reads = [_read(client, seen, first, over, pause_s) for first in range(readers)]
            tasks = [asyncio.create_task(read) for read in reads]
            try:
                yield seen
            finally:
                over.set()
                await asyncio.gather(*tasks)

    async def settled(self, within_s: float = 60) -> None:
        """Return once the mode is normal, every dependency has its whole load back, and the
        last state of every zone is known: a process that has just begun is normal before that.
        """
        end_s = time.monotonic() + within_s
        while True:
            data = (await self.get("/api/v1/system/mode")).json()["data"]
            known = await self.known_zones()
            if data["mode"] == "normal" and not data["recovering"] and known == len(ZONES):
                return
            assert time.monotonic() < end_s, (known, data)
            await asyncio.sleep(0.1)

    async def known_zones(self) -> int:
        """How many zones have a last known state."""
        content = (await self.get("/health")).json()
        return int(content["fallbackData"]["stale_zones"])

    async def breaker(self, name: str) -> str:
        content = (await self.get("/health")).json()
        return str(content["services"][name]["state"])

    async def metric(self, name: str) -> float:
        """The sum of a metric's series."""
        lines = (await self.get("/metrics")).text.splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith((f"{name} ", f"{name}{{"))
        )


async def until_source(api: Api, source: str, within_s: float = 60) -> None:
    """Return once a price comes from there."""
    end_s = time.monotonic() + within_s
    while (answer := (await api.get("/api/v1/zones/161/price")).json())["source"] != source:
        assert time.monotonic() < end_s, answer
        await asyncio.sleep(0.05)


async def until_only(
    api: Api, sources: set[str], within_s: float = 60, others: AbstractSet[str] = frozenset()
) -> Seen:
    """Read until every answer comes from these; until then, real ones and `others` may come."""
    end_s = time.monotonic() + within_s
    while True:
        seen = await api.read_for(0.5)
        assert not seen.failures, seen.failures[:3]
        assert set(seen.sources) <= REAL | sources | others, seen
        if set(seen.sources) <= sources:
            return seen
        assert time.monotonic() < end_s, seen


def expected(dead: frozenset[str]) -> set[str]:
    """Where prices come from in the end, with these dead."""
    if "redis" not in dead:
        return {"redis"}
    # What the cap of Postgres turns away, and what comes before the breaker, is stale.
    return {"database", "stale_cache"} if "database" not in dead else {"stale_cache"}


def say(text: str) -> None:
    """Tell a figure that no assertion gates on (`pytest -s` shows it)."""
    sys.stdout.write(f"\n{text}")


async def _read(
    client: httpx2.AsyncClient, seen: Seen, first: int, over: asyncio.Event, pause_s: float
) -> None:
    at = first * 31
    while not over.is_set():
        await asyncio.sleep(pause_s)
        zone = ZONES[at % len(ZONES)]
        at += 1
        began_s = time.monotonic()
        try:
            response = await client.get(f"/api/v1/zones/{zone.zone_id}/price")
        except httpx2.HTTPError as error:
            seen.failures.append(repr(error))
            continue
        seen.latencies_s.append(time.monotonic() - began_s)
        if response.status_code != 200:
            seen.failures.append(f"{response.status_code} {response.text}")
            continue
        content = response.json()
        assert content["data"]["zone_id"] == zone.zone_id, "somebody else's answer"
        seen.sources[content["source"]] += 1
        seen.reasons[content.get("fallback_reason", "none")] += 1


@asynccontextmanager
async def api_process(settings: Mapping[str, str], directory: Path) -> AsyncIterator[Api]:
    """`equilibrium api`, once its port answers."""
    port = free_ports(1)[0]
    began_s = time.monotonic()
    settings = {**QUICK, **settings, "EQUILIBRIUM_HTTP_PORT": str(port)}
    async with running("api", settings=settings, directory=directory) as process:
        async with httpx2.AsyncClient(verify=False) as client:
            while True:
                assert process.is_running, process.log
                try:
                    await client.get(f"http://127.0.0.1:{port}/health/live")
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.01)
        yield Api(process, port, time.monotonic() - began_s)


async def hurt(proxy: TcpProxy, fault: str) -> None:
    """Do to a proxy what `fault` says."""
    await FAULTS[fault](proxy)


async def _black_hole(proxy: TcpProxy) -> None:
    proxy.hold()


async def _slow(proxy: TcpProxy) -> None:
    proxy.latency_s = 0.05  # each way


def _spoiling(reply: Reply) -> Callable[[TcpProxy], Any]:
    async def spoil(proxy: TcpProxy) -> None:
        proxy.next_reply = reply

    return spoil


FAULTS: dict[str, Callable[[TcpProxy], Any]] = {
    "refused": TcpProxy.refuse,
    "black hole": _black_hole,
    "slow": _slow,
    "reset in mid-reply": _spoiling(Reply.HALF_THEN_RESET),
    "half reply": _spoiling(Reply.HALF_THEN_SILENCE),
    "garbage": _spoiling(Reply.GARBAGE),
}
ONE_REPLY = ("reset in mid-reply", "half reply", "garbage")
"""Faults that a single reply uses up; they have to be set again and again."""
