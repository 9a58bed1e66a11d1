"""A look from outside, while a process has the spool open or none has."""

from __future__ import annotations

import pytest

from fallback.spool.format.cursor import SLOT_BYTES
from fallback.spool.format.io import Access
from fallback.spool.format.record import Entry
from fallback.spool.format.scan import Damage
from fallback.spool.format.segment import HEADER_BYTES
from fallback.spool.startup.inspection import (
    DamagedSpan,
    InspectedRecord,
    is_held,
    read_spool,
    segments,
)
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, SteppedSpool, small_config


@pytest.fixture
def files():
    return FaultyFiles()


@pytest.fixture
def spool(files):
    """Twelve records of two lanes in several segments; the first four of `a` are delivered."""
    spool = SteppedSpool(files, small_config(lookahead_bytes=10_000))
    for number in range(1, 13):
        spool.append([Entry(b"a" if number % 2 else b"b", b"%d" % number + bytes(150))])
    lane = spool.reader.lanes[b"a"]
    records = spool.take(lane, 4)
    lane.ack(records[-1].seq)
    spool.save(synced=True)
    return spool


def _seen(files, **options) -> list[tuple[int, bool]]:
    found = read_spool(DIRECTORY, files, **options)
    return [(one.record.seq, one.is_pending) for one in found if isinstance(one, InspectedRecord)]


def _hurt(files) -> list[DamagedSpan]:
    return [one for one in read_spool(DIRECTORY, files) if isinstance(one, DamagedSpan)]


def test_open_spool_is_read_whole_and_left_alone(files, spool):
    before = {path: bytes(inode.seen) for path, inode in files.names_seen.items()}
    delivered = {1, 3, 5, 7}
    assert _seen(files) == [(seq, seq not in delivered) for seq in range(1, 13)]
    assert {path: bytes(inode.seen) for path, inode in files.names_seen.items()} == before
    assert is_held(DIRECTORY, files)
    assert len(segments(DIRECTORY, files)) == 3


def test_one_lane_is_read_by_itself(files, spool):
    assert [seq for seq, _ in _seen(files, lane=b"b")] == [2, 4, 6, 8, 10, 12]


def test_spool_of_dead_process_is_not_held(files, spool):
    files.kill()
    assert not is_held(DIRECTORY, files)
    assert not is_held(DIRECTORY, FaultyFiles())
    SteppedSpool(files, small_config())  # the look left no lock behind


def test_empty_directory_has_no_cursor():
    assert _hurt(FaultyFiles()) == [
        DamagedSpan("cursor", Damage(0, 2 * SLOT_BYTES, 0, 0), is_tail=False)
    ]


def test_damaged_record_is_told_and_its_neighbours_are_read(files, spool):
    written = spool.written[4]
    name = written.segment.file_name()
    files.damage(DIRECTORY / name, written.offsets[0] + 5, b"\xff")
    (hurt,) = _hurt(files)
    assert (hurt.segment, hurt.damage.first_seq, hurt.damage.lost) == (name, 5, 1)
    assert not hurt.is_tail
    assert [seq for seq, _ in _seen(files)] == [1, 2, 3, 4, *range(6, 13)]


def test_damaged_header_is_told(files, spool):
    name = spool.written[0].segment
    files.damage(DIRECTORY / name.file_name(), 0, b"\xff")
    assert _hurt(files) == [
        DamagedSpan(name.file_name(), Damage(0, HEADER_BYTES, 1, 0), is_tail=False)
    ]
    assert len(_seen(files)) == 12


def test_missing_segments_are_told(files, spool):
    first, second, third = segments(DIRECTORY, files)
    files.unlink(DIRECTORY / first.file_name())
    (hurt,) = _hurt(files)
    assert (hurt.segment, hurt.damage.lost) == ("", second.base - 2)  # the first one is delivered
    files.unlink(DIRECTORY / second.file_name())
    assert [seq for seq, _ in _seen(files)] == list(range(third.base, 13))


def test_torn_tail_is_told_as_one(files, spool):
    written = spool.written[-1]
    file = files.open(DIRECTORY / written.segment.file_name(), Access.WRITE)
    file.write_at(written.end, b"half a frame")
    (hurt,) = _hurt(files)
    assert (hurt.damage.size, hurt.damage.lost, hurt.is_tail) == (12, 0, True)


def test_segment_deleted_meanwhile_is_passed_over(files, spool):
    found = read_spool(DIRECTORY, files)
    assert isinstance(next(found), InspectedRecord)
    second = segments(DIRECTORY, files)[1]
    files.unlink(DIRECTORY / second.file_name())
    rest = [one.record.seq for one in found if isinstance(one, InspectedRecord)]
    assert second.base not in rest
    assert rest[-1] == 12
