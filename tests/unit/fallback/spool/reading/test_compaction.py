"""Segments that are rewritten without their delivered records."""

from __future__ import annotations

import errno

import pytest

from fallback.spool.format.record import Entry
from fallback.spool.format.segment import HEADER_BYTES
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, SteppedSpool, small_config


def _spool(files) -> SteppedSpool:
    """Every fourth record is of a parked lane; all others are delivered."""
    spool = SteppedSpool(files, small_config(segment_bytes=4096, quota_bytes=64 * 1024))
    for number in range(200):
        lane = b"parked" if number % 4 == 0 else b"live"
        spool.append([Entry(lane, b"%04d" % number + bytes(40))])
    _deliver(spool, b"live")
    return spool


def _deliver(spool, name: bytes) -> list[bytes]:
    lane = spool.reader.lanes[name]
    bodies: list[bytes] = []
    while True:
        records = spool.take(lane, 50)
        if not records:
            spool.read_all()
            records = spool.take(lane, 50)
        if not records:
            return bodies
        bodies += [record.body[:4] for record in records]
        lane.ack(records[-1].seq)


PARKED = [b"%04d" % number for number in range(0, 200, 4)]


def _compact_all(spool) -> int:
    count = 0
    while spool.compact() is not None:
        count += 1
    return count


def test_parked_lane_keeps_its_records_and_their_room_only():
    files = FaultyFiles()
    spool = _spool(files)
    before = spool.opened.disk_usage.total_bytes
    assert _compact_all(spool) >= 3
    assert spool.opened.disk_usage.total_bytes < before * 0.6
    assert spool.reader.segments.compactable() is None
    spool.reader.lanes[b"parked"].release()
    assert _deliver(spool, b"parked") == PARKED
    assert spool.lost == 0


def test_compacted_segments_survive_a_restart_without_a_loss():
    files = FaultyFiles()
    spool = _spool(files)
    _compact_all(spool)
    spool.save(synced=True)
    files.kill()
    spool = SteppedSpool(files, spool.config)
    assert [record.body[:4] for record in spool.drain()] == PARKED
    assert spool.lost == 0


def test_compacted_last_segment_is_found_whole_by_the_next_start():
    files = FaultyFiles()
    spool = _spool(files)
    spool.writer.preallocation.prepare()
    spool.writer.roll()
    spool.append([Entry(b"live", b"last")])
    _deliver(spool, b"live")
    _compact_all(spool)
    spool.save(synced=True)
    files.kill()
    for _ in range(2):  # the segments that the starts made are empty, and go
        spool = SteppedSpool(files, spool.config)
        files.kill()
    assert [record.body[:4] for record in spool.drain()] == PARKED
    assert (spool.writer.next_seq, spool.lost) == (202, 0)


def test_lost_records_stay_lost_in_a_compacted_segment():
    files = FaultyFiles()
    spool = _spool(files)
    written = spool.written[10]  # between delivered ones
    files.damage(DIRECTORY / written.segment.file_name(), written.offsets[0] + 20, b"\xff")
    _compact_all(spool)
    files.kill()
    spool = SteppedSpool(files, spool.config)
    assert [record.body[:4] for record in spool.drain() if record.lane == b"parked"] == PARKED
    assert spool.lost == 1


def test_segment_compacted_twice_holds_what_is_left():
    files = FaultyFiles()
    spool = _spool(files)
    _compact_all(spool)
    lane = spool.reader.lanes[b"parked"]
    lane.release()
    taken: list[int] = []
    while len(taken) < 30:
        taken += [record.seq for record in spool.take(lane, 10)]
        lane.ack(max(taken, default=0))
        spool.read_all()
    before = spool.opened.disk_usage.total_bytes
    _compact_all(spool)
    assert spool.opened.disk_usage.total_bytes < before
    lane.release()
    assert _deliver(spool, b"parked") == PARKED[len(taken) :]
    assert spool.lost == 0


def test_nothing_is_compacted_while_half_of_it_is_needed():
    spool = SteppedSpool(FaultyFiles(), small_config(segment_bytes=4096, quota_bytes=64 * 1024))
    for _ in range(200):
        spool.append([Entry(b"a", bytes(50))])
    assert spool.compact() is None


@pytest.mark.parametrize("operation", ["write", "sync", "rename", "open"])
def test_failed_rewrite_leaves_the_old_file(operation):
    files = FaultyFiles()
    spool = _spool(files)
    calls = {"open": 40, "rename": 1, "write": 1, "sync": 1}[operation]
    if operation == "open":
        files.fail("open", *[0] * 5, *[errno.EIO] * calls)
    else:
        files.fail(operation, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        _compact_all(spool)
    files.faults.clear()
    spool.reader.lanes[b"parked"].release()
    assert _deliver(spool, b"parked") == PARKED
    assert _compact_all(spool) >= 0
    assert spool.lost == 0


def test_failed_directory_sync_counts_as_done():
    files = FaultyFiles()
    spool = _spool(files)
    files.fail("sync_directory", errno.EIO)
    assert spool.compact() is not None
    spool.reader.lanes[b"parked"].release()
    assert _deliver(spool, b"parked") == PARKED


def test_no_room_for_the_new_file_leaves_the_old_one():
    files = FaultyFiles()
    spool = _spool(files)
    files.capacity = files.used() + 10
    assert spool.compact() is None
    spool.reader.lanes[b"parked"].release()
    assert _deliver(spool, b"parked") == PARKED


def test_damaged_header_is_written_anew():
    files = FaultyFiles()
    spool = _spool(files)
    name = spool.written[0].segment
    files.damage(DIRECTORY / name.file_name(), 0, bytes(HEADER_BYTES))
    _compact_all(spool)
    assert files.content(DIRECTORY / name.file_name())[:8] == b"SPOOLSEG"
