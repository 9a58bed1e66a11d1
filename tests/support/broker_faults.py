"""A broker behind a proxy, and what can befall both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pricing.embedded import ApacheKafka, free_ports
from streaming.config import KafkaConfig
from streaming.topics import ensure_topics
from tests.support.tcp_proxy import TcpProxy


@dataclass(frozen=True)
class Site:
    """One broker; `config` leads through the proxy, `direct` past it."""

    broker: ApacheKafka
    proxy: TcpProxy
    config: KafkaConfig
    direct: KafkaConfig


@asynccontextmanager
async def own_site(directory: Path) -> AsyncIterator[Site]:
    """A broker of one's own, with the topics made."""
    (port,) = free_ports(1)
    broker = ApacheKafka(directory / "kafka", advertised_port=port)
    try:
        await broker.start()
        async with site(broker, port) as place:
            yield place
    finally:
        await broker.kill()


@asynccontextmanager
async def site(
    broker: ApacheKafka, advertised_port: int, topic_prefix: str = "equilibrium."
) -> AsyncIterator[Site]:
    """A proxy in front of a broker that runs, and the topics made."""
    async with TcpProxy(broker.proxied_port, port=advertised_port) as proxy:
        direct, config = (
            KafkaConfig(
                bootstrap_servers=address, topic_prefix=topic_prefix, request_timeout_ms=1_500
            )
            for address in (broker.bootstrap_servers, proxy.address)
        )
        await ensure_topics(direct, timeout_s=20)
        yield Site(broker, proxy, config, direct)


async def kill_and_start(place: Site, random: Random) -> None:
    await place.broker.kill()
    await asyncio.sleep(random.uniform(0, 2))
    await place.broker.start()


async def terminate_and_start(place: Site, random: Random) -> None:
    """The graceful stop, for longer than the request timeout at times."""
    await place.broker.stop()
    await asyncio.sleep(random.uniform(0, 4))
    await place.broker.start()


async def freeze(place: Site, random: Random) -> None:
    place.broker.freeze()
    await asyncio.sleep(random.uniform(0.2, 4))
    place.broker.thaw()


async def black_hole(place: Site, random: Random) -> None:
    place.proxy.hold()
    await asyncio.sleep(random.uniform(0.2, 4))
    if random.random() < 0.5:
        place.proxy.reset()
    await place.proxy.heal()


async def lose_acks(place: Site, random: Random) -> None:
    place.proxy.hold(up=False)
    await asyncio.sleep(random.uniform(0.2, 2))
    if random.random() < 0.5:
        place.proxy.reset()
    await place.proxy.heal()


async def lose_acks_and_kill(place: Site, random: Random) -> None:
    place.proxy.hold(up=False)
    await asyncio.sleep(random.uniform(0.2, 1))
    await place.broker.kill()
    place.proxy.reset()
    await place.proxy.heal()
    await place.broker.start()


async def reset_often(place: Site, random: Random) -> None:
    for _ in range(20):
        place.proxy.reset()
        await asyncio.sleep(0.1)


async def refuse(place: Site, random: Random) -> None:
    await place.proxy.refuse()
    await asyncio.sleep(random.uniform(0.2, 4))
    await place.proxy.heal()


async def deaden(place: Site, random: Random) -> None:
    place.proxy.deaden()


Fault = Callable[[Site, Random], Awaitable[None]]

FAULTS: tuple[Fault, ...] = (
    kill_and_start,
    terminate_and_start,
    freeze,
    black_hole,
    lose_acks,
    lose_acks_and_kill,
    reset_often,
    refuse,
    deaden,
)


async def hurt(place: Site, random: Random, seconds: float) -> int:
    """One fault after the other for so long; returns how many. The last one is healed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    faults = 0
    while loop.time() < deadline:
        await random.choice(FAULTS)(place, random)
        faults += 1
        await asyncio.sleep(random.uniform(0.2, 2))
    return faults
