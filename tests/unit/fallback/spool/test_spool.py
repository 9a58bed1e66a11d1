"""The spool as its users see it: threads and event loop, on files in memory."""

from __future__ import annotations

import asyncio

import pytest

from fallback.errors import EntryTooLarge, SpoolClosed, SpoolLocked, TooManyLanes
from fallback.spool import Durability, Entry, SilentObserver, SpoolState
from tests.support.faulty_files import FaultyFiles
from tests.support.opened_spool import append, deliver, fill, lane_of, opened, opened_config, until
from tests.support.stepped_spool import DIRECTORY, SteppedSpool

DURABLE, RELAXED = Durability.DURABLE, Durability.RELAXED


async def test_append_hands_out_and_forgets():
    files = FaultyFiles()
    async with opened(files) as spool:
        assert await append(spool, b"1", b"2") == range(1, 3)
        assert await append(spool, b"3", durability=RELAXED) == range(3, 4)
        assert await deliver(spool, 3) == [b"1", b"2", b"3"]
        await until(lambda: not spool.stats().records)
    async with opened(files, with_intake=False) as spool:
        assert spool.stats().records == 0


async def test_many_callers_share_commits_in_order():
    async with opened(FaultyFiles()) as spool:
        callers = [append(spool, b"%d" % number) for number in range(200)]
        seqs = await asyncio.gather(*callers)
        assert sorted(seq[0] for seq in seqs) == list(range(1, 201))
        assert spool.stats().commits < 200
        assert [int(body) for body in await deliver(spool, 200)] == list(range(200))


async def test_unacknowledged_records_come_again_after_a_restart():
    files = FaultyFiles()
    async with opened(files) as spool:
        for number in range(40):
            await append(spool, b"%d" % number)
        lane = await lane_of(spool)
        records = await lane.take(max_records=10, max_bytes=1 << 20)
        lane.ack(records[4].seq)
    async with opened(files) as spool:
        assert await deliver(spool, 35) == [b"%d" % number for number in range(5, 40)]


async def test_lanes_are_told_once_each_old_ones_and_new_ones():
    files = FaultyFiles()
    async with opened(files) as spool:
        await append(spool, b"1", lane=b"old")
    async with opened(files) as spool:
        names: list[bytes] = []

        async def listen() -> None:
            async for lane in spool.lanes():
                names.append(lane.name)  # noqa: PERF401 - looked at meanwhile

        listening = asyncio.create_task(listen())
        await append(spool, b"2", lane=b"new")
        await append(spool, b"3", lane=b"new")
        await until(lambda: len(names) == 2)
        assert (await lane_of(spool, b"old")).name == b"old"
    await listening
    assert sorted(names) == [b"new", b"old"]


async def test_consumer_waits_for_the_next_record():
    async with opened(FaultyFiles()) as spool:
        await append(spool, b"1")
        await deliver(spool, 1)
        lane = await lane_of(spool)
        waiting = asyncio.create_task(lane.take(max_records=5, max_bytes=100))
        await asyncio.sleep(0)
        await append(spool, b"2")
        assert [record.body for record in await waiting] == [b"2"]


async def test_cancelled_consumer_takes_nothing():
    async with opened(FaultyFiles()) as spool:
        await append(spool, b"1")
        await deliver(spool, 1)
        lane = await lane_of(spool)
        waiting = asyncio.create_task(lane.take(max_records=5, max_bytes=100))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await append(spool, b"2")
        assert await deliver(spool, 1) == [b"2"]


async def test_states_follow_the_room_and_are_told():
    seen = []

    class Observer(SilentObserver):
        def on_state_change(self, old, new) -> None:
            seen.append(new)

    config = opened_config(quota_bytes=10 * 1024)
    async with opened(FaultyFiles(), config=config, observers=[Observer()]) as spool:
        await fill(spool, 150)
    assert seen == [
        SpoolState.FILLING,
        SpoolState.SHEDDING,
        SpoolState.FULL,
        SpoolState.CLOSED,
    ]


async def test_relaxed_records_are_synced_in_the_background():
    async with opened(FaultyFiles(), config=opened_config(relaxed_sync_ms=20)) as spool:
        await append(spool, b"1", durability=RELAXED)
        await until(lambda: not spool.stats().unsynced_records)


async def test_commits_are_told_to_observers():
    commits = []

    class Observer(SilentObserver):
        def on_commit(self, records, size, duration_s) -> None:
            commits.append((records, size, duration_s >= 0))

    async with opened(FaultyFiles(), observers=[Observer()]) as spool:
        await append(spool, b"1", b"23")
    assert commits == [(2, 3, True)]


async def test_oldest_age_is_of_the_oldest_undelivered_record():
    now = 1_000.0
    async with opened(FaultyFiles(), now_wall_s=lambda: now) as spool:
        assert spool.stats().oldest_age_ms is None
        await append(spool, b"1", b"2")
        now += 5
        lane = await lane_of(spool)
        assert spool.stats().oldest_age_ms == 5_000
        await lane.take(max_records=2, max_bytes=10)
        assert spool.stats().oldest_age_ms == 5_000
        lane.ack(2)
        assert spool.stats().oldest_age_ms is None


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (Entry(b"a", bytes(1_000_001)), EntryTooLarge),
        (Entry(b"a", bytes(1_000)), EntryTooLarge),
        (Entry(b"a" * 256, b""), EntryTooLarge),
        (Entry(b"c", b""), TooManyLanes),
    ],
)
async def test_entry_that_can_never_be_kept_is_refused(entry, error):
    async with opened(FaultyFiles(), config=opened_config(lanes=2)) as spool:
        await append(spool, b"1", lane=b"a")
        await append(spool, b"1", lane=b"b")
        with pytest.raises(error):
            await spool.append([entry], durability=DURABLE, timeout_s=1)
        with pytest.raises(ValueError, match="no entries"):
            await spool.append([], durability=DURABLE, timeout_s=1)


async def test_closed_spool_ends_everybodys_wait():
    async with opened(FaultyFiles()) as spool:
        await append(spool, b"1")
        await deliver(spool, 1)
        lane = await lane_of(spool)
        waiting = asyncio.create_task(lane.take(max_records=5, max_bytes=100))
        await asyncio.sleep(0)
    with pytest.raises(SpoolClosed):
        await waiting
    with pytest.raises(SpoolClosed):
        await append(spool, b"2")
    assert spool.state is SpoolState.CLOSED


async def test_spool_without_intake_takes_nothing_and_makes_no_file():
    files = FaultyFiles()
    async with opened(files) as spool:
        await append(spool, b"1")
    async with opened(files, with_intake=False) as spool:
        with pytest.raises(SpoolClosed):
            await append(spool, b"2")
        assert await deliver(spool, 1) == [b"1"]
        await until(lambda: sorted(files.names(DIRECTORY)) == ["cursor", "lock"])
        assert spool.stats().records == 0


async def test_second_open_is_refused_until_the_first_is_closed():
    files = FaultyFiles()
    async with opened(files):
        with pytest.raises(SpoolLocked):
            async with opened(files):
                pass
    async with opened(files):
        pass


async def test_cancelled_open_leaves_no_lock():
    files = FaultyFiles()
    opening = asyncio.create_task(opened(files).__aenter__())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await until(lambda: not files.locks)
    async with opened(files):
        pass


def test_stepped_spool_and_spool_share_the_format():
    files = FaultyFiles()
    spool = SteppedSpool(files, opened_config())
    spool.append([Entry(b"a", b"1")])
    spool.close()

    async def read() -> list[bytes]:
        async with opened(files) as again:
            return await deliver(again, 1)

    assert asyncio.run(read()) == [b"1"]
