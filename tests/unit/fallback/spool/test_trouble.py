"""The spool as its users see it while the disk is full, slow, failing or damaged."""

from __future__ import annotations

import asyncio
import errno
import threading

import pytest

from fallback.errors import AppendTimedOut, SpoolClosed, SpoolFailed, SpoolFull
from fallback.spool import Durability, SilentObserver, SpoolState
from fallback.spool.format.cursor import Cursor, read_cursor
from fallback.spool.format.io import FaultPoint
from tests.support.faulty_files import FaultyFiles
from tests.support.opened_spool import append, deliver, fill, lane_of, opened, opened_config, until
from tests.support.stepped_spool import DIRECTORY

DURABLE, RELAXED = Durability.DURABLE, Durability.RELAXED


class _Gate:
    """Holds the writing thread at a point."""

    def __init__(self, files: FaultyFiles, point: FaultPoint) -> None:
        self._open = threading.Event()
        self._point = point
        self.is_reached = threading.Event()
        files.on_point = self._reach

    def _reach(self, point: FaultPoint) -> None:
        if point is self._point:
            self.is_reached.set()
            self._open.wait(5)

    def open(self) -> None:
        self._open.set()


async def test_full_spool_refuses_then_takes_after_deliveries():
    async with opened(FaultyFiles(), config=opened_config(quota_bytes=3 * 1024)) as spool:
        count, refused = await fill(spool, 200)
        assert (refused.percent > 90, refused.in_memory) == (True, False)
        assert spool.state is SpoolState.FULL
        with pytest.raises(SpoolFull):
            await append(spool, b"x", durability=RELAXED)
        waiting = asyncio.create_task(append(spool, bytes(200)))
        await deliver(spool, count)
        assert await waiting == range(count + 1, count + 2)
        await until(lambda: spool.state is SpoolState.HEALTHY)


async def test_room_that_others_make_is_seen():
    files = FaultyFiles(capacity=200_000)
    async with opened(files, config=opened_config(free_floor_bytes=60_000)) as spool:
        await append(spool, b"x")
        files.capacity = files.used() + 60_100
        await fill(spool, 200)
        files.capacity = 400_000
        await append(spool, bytes(200), timeout_s=5)
        await until(lambda: spool.state is SpoolState.HEALTHY)


async def test_hung_disk_ends_the_wait_and_says_that_the_outcome_is_unknown():
    files = FaultyFiles()
    async with opened(files) as spool:
        gate = _Gate(files, FaultPoint.BEFORE_WRITE)
        taken = asyncio.create_task(append(spool, b"1", timeout_s=0.2))
        await asyncio.to_thread(gate.is_reached.wait, 5)
        with pytest.raises(AppendTimedOut) as queued:
            await append(spool, b"2", timeout_s=0.05)
        with pytest.raises(AppendTimedOut) as unknown:
            await taken
        assert (queued.value.may_be_stored, unknown.value.may_be_stored) == (False, True)
        gate.open()
        assert await append(spool, b"3") == range(2, 3)
        assert await deliver(spool, 2) == [b"1", b"3"]


async def test_cancelled_append_that_still_waits_is_withdrawn():
    files = FaultyFiles()
    async with opened(files) as spool:
        gate = _Gate(files, FaultPoint.BEFORE_WRITE)
        first = asyncio.create_task(append(spool, b"1"))
        await asyncio.to_thread(gate.is_reached.wait, 5)
        second = asyncio.create_task(append(spool, b"2"))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        gate.open()
        await first
        await append(spool, b"3")
        assert await deliver(spool, 2) == [b"1", b"3"]


async def test_too_much_waiting_is_refused_at_once():
    files = FaultyFiles()
    async with opened(files, config=opened_config(pending_records=2)) as spool:
        gate = _Gate(files, FaultPoint.BEFORE_WRITE)
        waiting = [asyncio.create_task(append(spool, b"1"))]
        await asyncio.to_thread(gate.is_reached.wait, 5)
        waiting.append(asyncio.create_task(append(spool, b"2", b"3")))
        await asyncio.sleep(0)
        with pytest.raises(SpoolFull) as refused:
            await append(spool, b"4")
        assert refused.value.in_memory
        gate.open()
        await asyncio.gather(*waiting)


async def test_disk_that_failed_twice_fails_appends_and_still_delivers():
    files = FaultyFiles()
    async with opened(files) as spool:
        await append(spool, b"1")
        files.fail("write_synced", *[errno.EIO] * 9)
        with pytest.raises(SpoolFailed):
            await append(spool, b"2")
        with pytest.raises(SpoolFailed):
            await append(spool, b"3")
        assert (spool.state, spool.stats().sync_errors) == (SpoolState.FAILED, 1)
        files.faults.clear()
        assert await deliver(spool, 1) == [b"1"]


@pytest.mark.parametrize("codes", [[errno.EIO], [errno.EIO] * 50])
async def test_failed_background_sync_is_rescued_or_final(codes):
    files = FaultyFiles()
    async with opened(files, config=opened_config(relaxed_sync_ms=20)) as spool:
        await append(spool, b"1", durability=RELAXED)
        await until(lambda: spool._writer.preallocation.ready_bytes)
        files.fail("sync", *codes)
        files.fail("write_synced", *[0] * 2, *[errno.EIO] * (len(codes) - 1))
        await until(lambda: spool.stats().sync_errors)
        await until(lambda: not spool.stats().unsynced_records)
        is_final = len(codes) > 1 and spool._writer.has_failed
        assert spool._writer.has_failed == is_final
        files.faults.clear()
        assert await deliver(spool, 1) == [b"1"]


async def test_cursor_that_cannot_be_written_is_tried_again():
    files = FaultyFiles()
    async with opened(files) as spool:
        await append(spool, b"1")
        files.fail("write", errno.EIO)
        await deliver(spool, 1)
        await until(lambda: spool.stats().cursor_errors == 1)
        await until(lambda: not files.faults["write"])
    async with opened(files) as spool:
        assert spool.is_indexed
        assert spool.stats().records == 0


async def test_segment_that_cannot_be_prepared_is_tried_again():
    files = FaultyFiles()
    async with opened(files) as spool:
        files.fail("sync", errno.EIO)
        for _ in range(20):
            await append(spool, bytes(200))


async def test_reads_that_fail_are_tried_again():
    files = FaultyFiles()
    async with opened(files) as spool:
        for number in range(30):
            await append(spool, b"%d" % number + bytes(400))
        files.fail("read", errno.EIO)
        assert len(await deliver(spool, 30)) == 30
        assert spool.stats().read_errors == 1


async def test_cursor_waits_until_damaged_bytes_are_kept():
    """Else a kill in between would leave neither the loss nor its bytes to tell of."""
    files = FaultyFiles()
    async with opened(files) as spool:
        await append(spool, b"1", b"2", b"3")
        lane = await lane_of(spool)
        lane.ack((await lane.take(max_records=1, max_bytes=100))[0].seq)
    name = next(name for name in files.names(DIRECTORY) if name.endswith(".seg"))
    files.damage(DIRECTORY / name, 64 + 40, b"\xff")
    gate = _Gate(files, FaultPoint.QUARANTINED)
    async with opened(files) as spool:
        delivering = asyncio.create_task(deliver(spool, 1))
        await asyncio.to_thread(gate.is_reached.wait, 5)
        await asyncio.sleep(0.05)  # fifty times as long as a cursor usually waits
        meanwhile = read_cursor(files, DIRECTORY) or Cursor()
        gate.open()
        assert meanwhile.low_water == 1
        assert await delivering == [b"3"]
        await until(lambda: (read_cursor(files, DIRECTORY) or Cursor()).low_water == 3)


async def test_damage_is_counted_told_and_kept():
    damages = []

    class Observer(SilentObserver):
        def on_damage(self, damage) -> None:
            damages.append(damage)

    files = FaultyFiles()
    async with opened(files) as spool:
        await append(spool, b"1", b"2", b"3")
    name = next(name for name in files.names(DIRECTORY) if name.endswith(".seg"))
    files.damage(DIRECTORY / name, 64 + 40, b"\xff")
    async with opened(files, observers=[Observer()]) as spool:
        assert await deliver(spool, 2) == [b"1", b"3"]
        stats = spool.stats()
        assert (stats.corrupt_records, stats.corrupt_bytes, stats.holes) == (1, 32, 1)
        assert [damage.lost for damage in damages] == [1]
    assert len(files.names(DIRECTORY / "corrupt")) == 1


async def test_parked_lane_does_not_fill_the_spool():
    """Four times the quota goes through, while a parked lane holds a little of it."""
    config = opened_config(quota_bytes=40 * 1024, segment_bytes=4096, warn_percent=40)
    files = FaultyFiles()
    async with opened(files, config=config) as spool:
        for number in range(120):
            await append(spool, b"%d" % number, lane=b"parked")
            await append(spool, *[bytes(400)] * 3, lane=b"live")
            await deliver(spool, 3, b"live")
        assert files.points[FaultPoint.COMPACTED] > 10
        assert await deliver(spool, 120, b"parked") == [b"%d" % n for n in range(120)]
        assert spool.stats().corrupt_records == 0


async def test_rewrite_that_fails_is_tried_again():
    config = opened_config(quota_bytes=40 * 1024, segment_bytes=4096, warn_percent=40)
    files = FaultyFiles()
    async with opened(files, config=config) as spool:
        await append(spool, b"0", lane=b"parked")
        files.fail("rename", *[0] * 4, errno.EIO)
        for _ in range(60):
            await append(spool, *[bytes(100)] * 3, lane=b"live")
            await deliver(spool, 3, b"live")
        await until(lambda: files.points[FaultPoint.COMPACTED] > 2)
        assert await deliver(spool, 1, b"parked") == [b"0"]


async def test_close_commits_what_waits_and_refuses_what_does_not_fit():
    files = FaultyFiles()
    async with opened(files, config=opened_config(quota_bytes=3 * 1024)) as spool:
        await fill(spool, 300)
        refused = asyncio.create_task(append(spool, bytes(300)))
        await asyncio.sleep(0)
    with pytest.raises(SpoolClosed):
        await refused


async def test_close_gives_up_on_a_disk_that_hangs():
    files = FaultyFiles()
    async with opened(files, config=opened_config(close_timeout_s=0.1)) as spool:
        gate = _Gate(files, FaultPoint.BEFORE_WRITE)
        hung = asyncio.create_task(append(spool, b"1"))
        await asyncio.to_thread(gate.is_reached.wait, 5)
    assert files.locks  # a write may still be under way
    gate.open()
    assert await hung == range(1, 2)


async def test_bug_in_the_writing_thread_fails_everybody(monkeypatch):
    files = FaultyFiles()
    async with opened(files) as spool:
        monkeypatch.setattr(spool._writer, "commit", lambda *_, **__: 1 / 0)
        with pytest.raises(SpoolFailed):
            await append(spool, b"1")
        with pytest.raises(SpoolFailed):
            await append(spool, b"2")
