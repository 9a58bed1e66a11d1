from __future__ import annotations

import errno

import pytest

from fallback.errors import SpoolFailed
from fallback.spool.format.cursor import Cursor, read_cursor
from fallback.spool.format.io import FaultPoint
from fallback.spool.format.record import Entry
from fallback.spool.format.segment import SegmentName
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, SteppedSpool, small_config


def _spool(files, **changes) -> SteppedSpool:
    spool = SteppedSpool(files, small_config(**changes))
    spool.writer.preallocation.prepare()
    return spool


def _append(spool, *bodies, durable=True):
    return spool.append([Entry(b"a", body) for body in bodies], durable=durable)


def _reopened(files) -> list[tuple[int, bytes]]:
    files.kill()
    return [(record.seq, record.body) for record in SteppedSpool(files, small_config()).drain()]


@pytest.mark.parametrize("operation", ["write", "write_synced"])
def test_failed_durable_write_goes_to_a_new_segment(operation):
    files = FaultyFiles()
    spool = _spool(files)
    assert _append(spool, b"1") == range(1, 2)
    files.fail(operation, errno.EIO)
    assert _append(spool, b"2", b"3") == range(2, 4)
    assert spool.writer.sync_errors == 1
    assert spool.written[0].segment != spool.written[1].segment
    assert spool.written[1].segment.base == 2
    assert _reopened(files) == [(1, b"1"), (2, b"2"), (3, b"3")]


@pytest.mark.parametrize("durable", [True, False])
def test_failed_sync_rewrites_everything_not_synced(durable):
    """Also what was acknowledged relaxed, and may have left the page cache for nowhere."""
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, b"1")
    _append(spool, b"2", durable=False)
    _append(spool, b"3", durable=False)
    files.fail("sync", errno.EIO)
    if durable:
        _append(spool, b"4")
    spool.sync()
    assert spool.writer.sync_errors == 1
    assert spool.written[-1].segment.base == 2
    assert spool.written[-1].fresh == 2
    assert [record.body for record in spool.drain()] == [b"1", b"2", b"3", b"4"][: 3 + durable]
    assert spool.writer.unsynced == 0


def test_second_failure_is_final_and_leaves_the_rest_working():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, b"1")
    files.fail("write_synced", errno.EIO, 0, errno.EIO)  # the frames; the header; the frames
    with pytest.raises(SpoolFailed):
        _append(spool, b"2")
    for attempt in (lambda: _append(spool, b"3"), spool.writer.roll, spool.sync):
        with pytest.raises(SpoolFailed):
            attempt()
    assert [record.body for record in spool.drain()] == [b"1"]
    spool.save(synced=True)
    assert (read_cursor(files, DIRECTORY) or Cursor()).low_water == 1


def test_failure_after_a_rescue_is_a_first_one_again():
    files = FaultyFiles()
    spool = _spool(files)
    for number in range(4):
        files.fail("write_synced", errno.EIO)
        _append(spool, b"%d" % number)
    assert spool.writer.sync_errors == 4
    assert [body for _, body in _reopened(files)] == [b"0", b"1", b"2", b"3"]


def test_failed_rescue_without_room_is_final():
    files = FaultyFiles()
    spool = _spool(files, quota_bytes=3 * 1024)
    while _append(spool, bytes(900)):
        pass
    files.fail("write", errno.EIO)
    with pytest.raises(SpoolFailed):
        spool.writer.commit([], durable=False) if spool.writer.room < 40 else _append(spool, b"")


@pytest.mark.parametrize("operation", ["rename", "sync_directory", "write_synced"])
def test_failed_roll_is_tried_once_more(operation):
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, b"1")
    files.fail(operation, errno.EIO)
    assert spool.writer.roll()
    assert _append(spool, b"2") == range(2, 3)
    assert spool.writer.sync_errors == 1
    assert _reopened(files) == [(1, b"1"), (2, b"2")]


def test_roll_syncs_what_it_leaves_and_survives_its_failure():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, b"1", durable=False)
    files.fail("sync", errno.EIO)
    assert spool.writer.roll()
    assert spool.writer.unsynced == 0
    spool.take_written()
    assert spool.written[-1].segment.base == 1
    assert _reopened(files) == [(1, b"1")]


def test_roll_without_spare_says_that_there_is_no_room():
    spool = SteppedSpool(FaultyFiles(), small_config())
    assert not spool.writer.roll()


def test_unsynced_bytes_are_bounded():
    spool = _spool(FaultyFiles())
    for _ in range(20):
        _append(spool, bytes(70), durable=False)
        assert spool.writer.unsynced * 100 <= spool.config.unsynced_bytes + 100


def test_durable_commit_makes_all_before_it_durable():
    spool = _spool(FaultyFiles())
    _append(spool, b"1", durable=False)
    _append(spool, b"2", durable=False)
    assert (spool.writer.unsynced, spool.writer.synced_seq) == (2, 0)
    _append(spool, b"3")
    assert (spool.writer.unsynced, spool.writer.synced_seq) == (0, 3)


def test_deletion_syncs_cursor_then_unlinks_then_syncs_directory():
    files = FaultyFiles()
    spool = _spool(files)
    for _ in range(6):
        _append(spool, bytes(300))
    spool.drain()
    points: list[FaultPoint] = []
    files.on_point = points.append
    assert len(spool.sweep()) == 2
    assert points == [
        FaultPoint.CURSOR_WRITTEN,
        FaultPoint.CURSOR_SYNCED,
        FaultPoint.UNLINKED,
        FaultPoint.UNLINKED,
        FaultPoint.DIRECTORY_SYNCED,
    ]


def test_deletion_passes_over_a_segment_that_is_gone():
    files = FaultyFiles()
    spool = _spool(files)
    spool.writer.delete([SegmentName(99, 99, 99)], Cursor())
    assert SegmentName(99, 99, 99).file_name() not in files.names(DIRECTORY)


def test_close_of_the_old_segment_may_fail():
    files = FaultyFiles()
    spool = _spool(files)
    _append(spool, b"1")
    files.fail("close", 0, errno.EIO)  # the header's file; the old segment's
    assert spool.writer.roll()
    assert _append(spool, b"2") == range(2, 3)


def test_close_without_a_segment_is_fine():
    spool = SteppedSpool(FaultyFiles(), small_config(), with_intake=False)
    assert spool.writer.active is None
    spool.close()
