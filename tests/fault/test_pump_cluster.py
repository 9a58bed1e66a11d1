"""The pump against a cluster of three that loses its nodes, under load.

`PUMP_CLUSTER_FAULTS=20` makes a longer run; `-s` shows its figures.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from streaming.topics import full_name
from tests.support.kafka_cluster import Cluster, ClusterNode, running_nodes
from tests.support.oracle import Load, Oracle
from tests.support.pumped import Pumped, pumped, read_topic
from tests.support.waiting import until

FAULTS = int(os.environ.get("PUMP_CLUSTER_FAULTS", "4"))
TOPIC = "ride-requests"

pytestmark = pytest.mark.soak


@pytest.fixture(scope="module")
async def nodes(server_directory: Path) -> AsyncIterator[list[ClusterNode]]:
    async with running_nodes(server_directory) as nodes:
        yield nodes


@pytest.fixture
async def place(nodes: list[ClusterNode], topic_prefix: str) -> Cluster:
    place = Cluster(nodes, topic_prefix)
    await place.open()
    return place


@dataclass
class Trial:
    """A load through the pump, and what is asked of it in the end."""

    place: Cluster
    path: Pumped
    oracle: Oracle

    async def judge(self, what: str) -> None:
        """Nothing is lost, doubled, refused or out of order, by one and the same producer."""
        records = await read_topic(self.place.config, full_name(self.place.config, TOPIC))
        verdict, renewals = self.oracle.judge(records), self.path.renewals
        sys.stdout.write(
            f"\n{what}: {verdict.events} events, 0 lost, 0 inversions, {verdict.duplicates} "
            f"duplicates, {renewals} producers given up, {self.oracle.refused} refused\n"
        )
        assert (verdict.duplicates, renewals, self.oracle.refused) == (0, 0, 0)


@asynccontextmanager
async def under_load(place: Cluster, directory: Path) -> AsyncIterator[Trial]:
    """1,000 events a second for the length of the block; all are delivered when it ends."""
    async with pumped(place.config, directory, wait_s=0.002) as path:
        trial = Trial(place, path, Oracle())
        load = Load(trial.oracle, events_per_s=1_000)
        load.publisher = path.publisher
        running = asyncio.create_task(load.run())
        try:
            yield trial
        finally:
            await load.stop()
            await running
        await until(lambda: not path.spool.stats().records, "delivered")


async def test_rolling_restart_costs_no_producer_and_no_event(place, tmp_path):
    async with under_load(place, tmp_path) as trial:
        for node in place.nodes:
            await node.stop()
            await node.start()
            await place.until_in_sync(TOPIC)
    await trial.judge("rolling restart")


async def stop(nodes: list[ClusterNode], random: Random) -> None:
    await nodes[0].stop()
    await asyncio.sleep(random.uniform(0, 1.5))
    await nodes[0].start()


async def kill(nodes: list[ClusterNode], random: Random) -> None:
    await nodes[0].kill()
    await asyncio.sleep(random.uniform(0, 1.5))
    await nodes[0].start()


async def freeze(nodes: list[ClusterNode], random: Random) -> None:
    nodes[0].freeze()
    await asyncio.sleep(random.uniform(0.5, 3))
    nodes[0].thaw()


async def kill_two(nodes: list[ClusterNode], random: Random) -> None:
    """The one that is left may not write: too few copies."""
    await asyncio.gather(*(node.kill() for node in nodes[:2]))
    await asyncio.sleep(random.uniform(0, 1.5))
    await asyncio.gather(*(node.start() for node in nodes[:2]))


KINDS = (stop, kill, freeze, kill_two)


@pytest.mark.timeout(120 + 15 * FAULTS)
async def test_nodes_that_stop_die_and_freeze_cost_no_producer_and_no_event(place, tmp_path):
    random = Random(1)
    async with under_load(place, tmp_path) as trial:
        for number in range(FAULTS):
            hurt = random.sample(place.nodes, len(place.nodes))
            await KINDS[number % len(KINDS)](hurt, random)
            await place.until_in_sync(TOPIC)
    await trial.judge(f"{FAULTS} faults")
