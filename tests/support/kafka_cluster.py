"""Three Apache Kafka nodes as one cluster: every topic three times, two copies in sync to write.

Each node is broker and controller, so that two of three keep the cluster going.
"""

from __future__ import annotations

import asyncio
import uuid
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pricing.embedded import ApacheKafka, free_ports
from pricing.embedded.apache_kafka import with_archive
from pricing.embedded.kafka_home import KafkaHome, kafka_home
from pricing.embedded.ports import LOOPBACK
from pricing.embedded.process import Program
from streaming.config import KafkaConfig
from streaming.topics import ensure_topics, full_name
from tests.support.pumped import admin_of
from tests.support.servers import has_apache_kafka

NODES = 3
IN_SYNC = 2
_PORTS = 3
_CHANGED = {
    "default.replication.factor": str(NODES),
    "min.insync.replicas": str(IN_SYNC),
    # A frozen leader is to be replaced soon, and a busy machine is no frozen leader.
    "broker.session.timeout.ms": "1500",
    "replica.lag.time.max.ms": "3000",
}


class ClusterNode(ApacheKafka):
    """One node; all of them have to be told each other's controller ports before they start."""

    def __init__(self, directory: Path, number: int, ports: list[list[int]], home: KafkaHome):
        super().__init__(directory, home=home)
        self._number = number
        self._ports = ports[number - 1]
        self._voters = ",".join(
            f"{node}@{LOOPBACK}:{controller}" for node, (*_, controller) in enumerate(ports, 1)
        )

    def _lay_out(self, template: Path) -> None:
        is_new = not (self.directory / "data").exists()
        super()._lay_out(template)
        if is_new:
            meta = self.directory / "data" / "meta.properties"
            names = {"node.id": str(self._number), "directory.id": _random_id()}
            meta.write_text(_with(meta.read_text(), names))

    def _program(self, ports: list[int]) -> Program:
        program = super()._program(ports)
        settings = self.directory / "server.properties"
        own = {"node.id": str(self._number), "controller.quorum.voters": self._voters}
        settings.write_text(_with(settings.read_text(), {**_CHANGED, **own}))
        return program


def _with(text: str, values: dict[str, str]) -> str:
    """A properties file with these values instead of its own."""
    kept = [line for line in text.splitlines() if line.partition("=")[0] not in values]
    return "\n".join([*kept, *(f"{name}={value}" for name, value in values.items())]) + "\n"


def _random_id() -> str:
    return urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()


class Cluster:
    """The nodes, and how to reach them."""

    def __init__(self, nodes: list[ClusterNode], topic_prefix: str) -> None:
        self.nodes = nodes
        self.config = KafkaConfig(
            bootstrap_servers=",".join(node.address for node in nodes),
            topic_prefix=topic_prefix,
            replication=NODES,
            request_timeout_ms=1_500,
        )

    async def open(self) -> None:
        """Make the topics, and start what an earlier test left down."""
        await asyncio.gather(*(node.start() for node in self.nodes))
        await ensure_topics(self.config, timeout_s=30)

    async def until_in_sync(self, topic: str, within_s: float = 60) -> None:
        """Wait until every partition of a topic has all its copies: the next node may go."""
        async with asyncio.timeout(within_s):
            while not await self._is_in_sync(full_name(self.config, topic)):
                await asyncio.sleep(0.1)

    async def _is_in_sync(self, topic: str) -> bool:
        async with admin_of(self.config) as admin:
            (described,) = await admin.describe_topics([topic])
        return all(len(one["isr"]) == NODES for one in described["partitions"])


@asynccontextmanager
async def running_nodes(directory: Path) -> AsyncIterator[list[ClusterNode]]:
    """Three nodes; up in about five seconds."""
    if not has_apache_kafka():
        pytest.skip("needs Apache Kafka: install Java 17 or newer and Maven")
    home = await with_archive(await kafka_home())
    free = free_ports(NODES * _PORTS)
    ports = [free[at : at + _PORTS] for at in range(0, len(free), _PORTS)]
    nodes = [
        ClusterNode(directory / f"node-{number}", number, ports, home)
        for number in range(1, NODES + 1)
    ]
    try:
        await asyncio.gather(*(node.start() for node in nodes))
        yield nodes
    finally:
        for node in nodes:
            await node.kill()
