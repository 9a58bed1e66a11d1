"""Quota, free-space floor, preallocation, quarantine: what may take room."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from fallback.spool.config import MIB, SpoolConfig
from fallback.spool.format.io import Access
from fallback.spool.format.scan import Damage
from fallback.spool.format.segment import SegmentName
from fallback.spool.startup.quarantine import Quarantine, keep_damage
from fallback.spool.writing.preallocation import FILE_NAME, Preallocation
from fallback.spool.writing.quota import DEFAULT_QUOTA_BYTES, DiskUsage, Space, quota_for
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, small_config

NAME = SegmentName(1, 1, 0x01010101)


@pytest.mark.parametrize(
    ("used", "ready", "quota", "free", "percent"),
    [
        (0, 0, 100, 1_000, 0),
        (70, 10, 100, 1_000, 70),
        (99, 1, 100, 1_000, 99),
        (100, 0, 100, 1_000, 100),
        (120, 0, 100, 1_000, 100),
        (30, 10, 100, 20, 60),  # the volume ends before the quota: 30 + 10 + (20 - 10)
        (30, 0, 100, 5, 100),
        (0, 0, 100, 5, 100),
    ],
)
def test_percent_is_of_quota_or_volume_whichever_ends_first(used, ready, quota, free, percent):
    assert Space(used, ready, quota, free, floor=10).percent == percent


@pytest.mark.parametrize(
    ("free", "quota"),
    [(MIB, 48 * MIB), (4_000 * MIB, 1_000 * MIB), (1 << 50, DEFAULT_QUOTA_BYTES)],
)
def test_quota_for_volume_is_a_quarter_within_bounds(free, quota):
    assert quota_for(free) == quota


def _disk_usage(files, **changes) -> DiskUsage:
    return DiskUsage(files, DIRECTORY, small_config(**changes))


def test_disk_usage_adds_replaces_and_takes_out():
    disk_usage = _disk_usage(FaultyFiles())
    disk_usage.set(Path("a"), 10)
    disk_usage.set(Path("b"), 5)
    disk_usage.set(Path("a"), 7)
    assert (disk_usage.total_bytes, disk_usage.size(Path("a"))) == (12, 7)
    disk_usage.set(Path("a"), 0)
    disk_usage.set(Path("c"), 0)
    assert (disk_usage.total_bytes, disk_usage.size(Path("a"))) == (5, 0)


def test_disk_usage_admits_within_whole_segments_of_quota():
    disk_usage = _disk_usage(FaultyFiles(), quota_bytes=4 * 1024 + 1_000)
    assert disk_usage.quota_bytes == 4 * 1024
    disk_usage.set(Path("a"), 3 * 1024)
    assert disk_usage.admits(1024)
    assert not disk_usage.admits(1025)


def test_disk_usage_leaves_room_to_rewrite_a_segment_when_full():
    files = FaultyFiles(capacity=10_000)
    disk_usage = _disk_usage(files, quota_bytes=4 * 1024, free_floor_bytes=9_900)
    assert disk_usage.quota_bytes == 3 * 1024
    disk_usage.set(Path("a"), 3 * 1024)
    assert not disk_usage.admits(1)
    assert disk_usage.admits_draft(1024)
    assert not disk_usage.admits_draft(1025)
    disk_usage.set(Path("a"), 0)
    files.capacity = 500
    assert not disk_usage.admits_draft(501)


def test_disk_usage_keeps_the_free_floor():
    files = FaultyFiles(capacity=10_000)
    disk_usage = _disk_usage(files, free_floor_bytes=9_000)
    assert disk_usage.admits(1_000)
    assert not disk_usage.admits(1_001)
    assert disk_usage.space(0).free == 10_000


def _preallocation(files, **changes) -> tuple[Preallocation, DiskUsage]:
    disk_usage = _disk_usage(files, **changes)
    return Preallocation(files, DIRECTORY, 1024, disk_usage), disk_usage


def test_spare_is_full_of_zeros_and_counted():
    files = FaultyFiles()
    preallocation, disk_usage = _preallocation(files)
    assert preallocation.ready_bytes == 0
    assert preallocation.prepare()
    assert preallocation.prepare()
    assert (preallocation.ready_bytes, disk_usage.total_bytes) == (1024, 1024)
    assert files.content(preallocation.path) == bytes(1024)


def test_spare_larger_than_a_piece_is_written_whole():
    files = FaultyFiles()
    config = SpoolConfig(segment_bytes=MIB + 5, quota_bytes=8 * MIB, free_floor_bytes=0)
    preallocation = Preallocation(
        files, DIRECTORY, config.segment_bytes, DiskUsage(files, DIRECTORY, config)
    )
    assert preallocation.prepare()
    assert files.size(preallocation.path) == MIB + 5


def test_spare_taken_moves_its_bytes_to_the_segment():
    files = FaultyFiles()
    preallocation, disk_usage = _preallocation(files)
    preallocation.prepare()
    preallocation.take(DIRECTORY / "segment")
    assert preallocation.ready_bytes == 0
    assert disk_usage.size(DIRECTORY / "segment") == 1024
    assert files.names(DIRECTORY) == ["segment"]


def test_spare_refused_by_quota_leaves_nothing():
    files = FaultyFiles()
    preallocation, disk_usage = _preallocation(files)
    disk_usage.set(Path("a"), 16 * 1024)
    assert not preallocation.prepare()
    assert files.names(DIRECTORY) == []


def test_spare_on_full_disk_is_taken_away_again():
    files = FaultyFiles(capacity=1 << 20)
    preallocation, disk_usage = _preallocation(files)
    files.fail("write", errno.ENOSPC)
    assert not preallocation.prepare()
    assert (files.names(DIRECTORY), disk_usage.total_bytes) == ([], 0)
    assert preallocation.prepare()


def test_spare_on_broken_disk_raises_and_is_tried_again():
    files = FaultyFiles()
    preallocation, disk_usage = _preallocation(files)
    files.fail("sync", errno.EIO)
    files.fail("unlink", errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        preallocation.prepare()
    assert (files.names(DIRECTORY), disk_usage.total_bytes) == ([FILE_NAME], 1024)
    assert preallocation.prepare()
    assert disk_usage.total_bytes == 1024


def test_spoiled_spare_is_taken_away():
    files = FaultyFiles()
    preallocation, disk_usage = _preallocation(files)
    preallocation.prepare()
    preallocation.spoil()
    assert (preallocation.ready_bytes, files.names(DIRECTORY), disk_usage.total_bytes) == (0, [], 0)


def test_quarantine_keeps_up_to_its_limit():
    files = FaultyFiles()
    disk_usage = _disk_usage(files)
    quarantine = Quarantine(files, DIRECTORY, 10, disk_usage)
    assert quarantine.keep(NAME, 64, b"123456")
    assert not quarantine.keep(NAME, 80, b"12345")
    assert quarantine.keep(NAME, 96, b"1234")
    assert not quarantine.keep(NAME, 99, b"")
    assert (quarantine.total_bytes, disk_usage.total_bytes) == (10, 10)


def test_quarantine_counts_what_is_there_and_keeps_a_span_once():
    files = FaultyFiles()
    first = Quarantine(files, DIRECTORY, 10, None)
    assert first.keep(NAME, 64, b"123456")
    again = Quarantine(files, DIRECTORY, 100, None)
    assert again.total_bytes == 6
    assert again.keep(NAME, 64, b"123456")
    assert again.total_bytes == 6


def test_quarantine_that_cannot_write_stops_nobody():
    files = FaultyFiles()
    quarantine = Quarantine(files, DIRECTORY, 10, None)
    files.fail("write", errno.EIO)
    assert not quarantine.keep(NAME, 64, b"123456")


def test_damage_that_cannot_be_read_is_not_kept():
    files = FaultyFiles()
    quarantine = Quarantine(files, DIRECTORY, 100, None)
    damage = Damage(2, 3, 1, 1)
    keep_damage(files, DIRECTORY, quarantine, NAME, damage)
    assert quarantine.total_bytes == 0
    file = files.open(DIRECTORY / NAME.file_name(), Access.CREATE)
    file.write_at(0, b"0123456")
    keep_damage(files, DIRECTORY, quarantine, NAME, damage)
    (kept,) = files.names(DIRECTORY / "corrupt")
    assert files.content(DIRECTORY / "corrupt" / kept) == b"234"
