"""Minutes of broker faults under load: every promise is kept, and events flow afterwards.

`PUMP_FLAP_S` and `PUMP_FLAP_SEEDS` (1,2,3) make longer runs; `-s` shows their figures.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from random import Random

import pytest

from streaming.topics import full_name
from tests.support.broker_faults import hurt, own_site
from tests.support.oracle import Load, Oracle
from tests.support.pumped import QUICK, Pumped, pumped, read_topic
from tests.support.waiting import until

SECONDS = float(os.environ.get("PUMP_FLAP_S", "15"))
SEEDS = [int(seed) for seed in os.environ.get("PUMP_FLAP_SEEDS", "1").split(",")]
LANES, BATCH = 6, QUICK.batch_records

pytestmark = pytest.mark.soak


@pytest.fixture
async def place(own_directory: Path):
    async with own_site(own_directory) as place:
        yield place


async def fresh_event_flows(path: Pumped, oracle: Oracle) -> float:
    """Seconds from now until an event that is published now is in Kafka."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    await oracle.publish(path.publisher, 1)
    await until(lambda: not path.spool.stats().records, "everything is delivered")
    return loop.time() - began_s


@pytest.mark.timeout(SECONDS * 6 + 120)
@pytest.mark.parametrize("seed", SEEDS)
async def test_flapping_broker_breaks_no_promise(place, tmp_path, seed):
    random, oracle = Random(seed), Oracle()
    async with pumped(place.config, tmp_path, wait_s=0.002) as path:
        load = Load(oracle, events_per_s=2_000)
        load.publisher = path.publisher
        running = asyncio.create_task(load.run())
        faults = await hurt(place, random, SECONDS)
        await load.stop()
        await running
        healed_s = await fresh_event_flows(path, oracle)
        renewals, stats = path.renewals, path.pump.stats()
    verdict = oracle.judge(await read_topic(place.direct, full_name(place.direct, "ride-requests")))
    tell(seed, faults, verdict, renewals, healed_s, oracle)
    assert verdict.duplicates <= LANES * BATCH * renewals
    assert not stats.dead_lettered
    assert not [alarm for alarm in stats.alarms if alarm.kind == "lost_records"]


@pytest.mark.timeout(SECONDS * 6 + 120)
@pytest.mark.parametrize("seed", SEEDS)
async def test_flapping_broker_and_restarts_break_no_promise(place, tmp_path, seed):
    random, oracle = Random(seed), Oracle()
    load = Load(oracle, events_per_s=2_000)
    running = asyncio.create_task(load.run())
    hurting = asyncio.create_task(hurt(place, Random(seed + 100), SECONDS))
    lives = ends = 0
    while not hurting.done():
        async with pumped(place.config, tmp_path, wait_s=0.002) as path:
            load.publisher = path.publisher
            lives += 1
            await asyncio.wait({hurting}, timeout=random.uniform(2, 6))
            await load.rest()
            ends += path.renewals + 1
    faults = await hurting
    await load.stop()
    await running
    async with pumped(place.config, tmp_path, wait_s=0.002) as path:
        healed_s = await fresh_event_flows(path, oracle)
    verdict = oracle.judge(await read_topic(place.direct, full_name(place.direct, "ride-requests")))
    tell(seed, faults, verdict, ends, healed_s, oracle)
    assert verdict.duplicates <= LANES * BATCH * ends


def tell(seed, faults, verdict, renewals, healed_s, oracle) -> None:
    times = sorted(oracle.append_ms)
    sys.stdout.write(
        f"\nseed {seed}: {verdict.events} events, {faults} faults, 0 lost, 0 inversions, "
        f"{verdict.duplicates} duplicates, {renewals} renewals or restarts, fresh event after "
        f"{healed_s:.2f} s, publish p50 {times[len(times) // 2]:.1f} ms "
        f"p99 {times[len(times) * 99 // 100]:.1f} ms, refused {oracle.refused}\n"
    )
