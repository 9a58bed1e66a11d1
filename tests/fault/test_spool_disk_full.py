"""A volume that is really full: typed errors, and room again through deliveries, no restart."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager

import pytest

from fallback.errors import SpoolFull
from fallback.spool import Durability, Entry, Spool, SpoolConfig, SpoolState
from tests.support.loop_volume import MIB, demand_loop_volumes, make_image, mounted

KIB = 1 << 10
CONFIG = SpoolConfig(
    segment_bytes=256 * KIB,
    quota_bytes=1024 * MIB,
    free_floor_bytes=0,
    cursor_interval_ms=1,
)
BODY = bytes(8 * KIB)


@asynccontextmanager
async def _spool_on_small_volume(tmp_path, config=CONFIG):
    demand_loop_volumes()
    image = make_image(tmp_path / "volume", 8 * MIB)
    with mounted(image, tmp_path / "live") as live:
        async with Spool.open(live / "spool", config) as spool:
            yield spool


async def _append(spool, count=8, *, timeout_s=0.3, durability=Durability.DURABLE):
    entries = [Entry(b"lane", BODY)] * count
    return await spool.append(entries, durability=durability, timeout_s=timeout_s)


async def _fill(spool) -> int:
    """Append until it refuses; the last sequence number."""
    last = 0
    while True:
        try:
            last = (await _append(spool))[-1]
        except SpoolFull:
            return last


async def _deliver(spool, seq: int) -> None:
    async for lane in spool.lanes():
        while lane.acked < seq:
            records = await lane.take(max_records=64, max_bytes=MIB)
            assert all(record.body == BODY for record in records)
            lane.ack(records[-1].seq)
        return


def _free(volume) -> int:
    found = os.statvfs(volume)
    return found.f_bavail * found.f_frsize


async def test_full_volume_refuses_then_recovers_by_deliveries(tmp_path):
    async with _spool_on_small_volume(tmp_path) as spool:
        last = await _fill(spool)
        assert last > 300
        assert spool.state is SpoolState.FULL
        assert spool.stats().percent >= 90
        with pytest.raises(SpoolFull) as refused:
            await _append(spool, 1, durability=Durability.RELAXED)
        assert refused.value.retry_after_s > 0
        await _deliver(spool, last // 2)
        assert (await _append(spool, timeout_s=5))[0] == last + 1
        again = await _fill(spool)
        await _deliver(spool, again)
        assert (await _append(spool, timeout_s=5))[0] == again + 1
        assert spool.state is not SpoolState.FULL


async def test_full_volume_waits_for_room_within_the_deadline(tmp_path):
    async with _spool_on_small_volume(tmp_path) as spool:
        last = await _fill(spool)
        waiting = asyncio.create_task(_append(spool, timeout_s=10))
        await _deliver(spool, last)
        assert (await waiting)[0] == last + 1


async def test_full_volume_opens_and_delivers(tmp_path):
    """A full disk is no reason not to start: starting is how it gets emptied."""
    demand_loop_volumes()
    image = make_image(tmp_path / "volume", 8 * MIB)
    with mounted(image, tmp_path / "live") as live:
        async with Spool.open(live / "spool", CONFIG) as spool:
            last = await _fill(spool)
        (live / "ballast").write_bytes(bytes(_free(live)))
        async with Spool.open(live / "spool", CONFIG) as spool:
            with pytest.raises(SpoolFull):
                await _append(spool)
            await _deliver(spool, last)
            assert (await _append(spool, timeout_s=5))[0] == last + 1


async def test_free_floor_keeps_room_for_others(tmp_path):
    config = SpoolConfig(segment_bytes=256 * KIB, quota_bytes=1024 * MIB, free_floor_bytes=4 * MIB)
    async with _spool_on_small_volume(tmp_path, config) as spool:
        await _fill(spool)
        assert spool.stats().free_bytes >= 4 * MIB
