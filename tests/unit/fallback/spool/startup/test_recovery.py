"""What a start makes of what the last process left."""

from __future__ import annotations

import errno
from dataclasses import replace
from random import Random

import pytest

from fallback.errors import SpoolFailed, SpoolLocked
from fallback.spool.format.cursor import SLOT_BYTES, Cursor, read_cursor
from fallback.spool.format.io import Access
from fallback.spool.format.record import Entry
from fallback.spool.format.segment import HEADER_BYTES
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, SteppedSpool, small_config


def _left(count=10, size=200, *, durable=True) -> tuple[FaultyFiles, SteppedSpool]:
    """A spool with records in several segments, its process killed."""
    files = FaultyFiles()
    spool = SteppedSpool(files, small_config())
    for number in range(count):
        spool.append([Entry(b"a", b"%03d" % number + bytes(size))], durable=durable)
    files.kill()
    return files, spool


def _open(files, **options) -> SteppedSpool:
    return SteppedSpool(files, small_config(), **options)


def _segments(files) -> list[str]:
    return sorted(name for name in files.names(DIRECTORY) if name.endswith(".seg"))


def test_new_spool_begins_at_one():
    spool = _open(FaultyFiles())
    assert spool.writer.next_seq == 1
    assert spool.drain() == []
    assert spool.lost == 0


def test_torn_tail_is_cut_and_not_counted():
    files, spool = _left()
    spool = _open(files)
    files.kill()
    path = DIRECTORY / _segments(files)[-1]
    file = files.open(path, Access.WRITE)
    file.write_at(HEADER_BYTES, b"half a frame")
    recovered = _open(files).opened.recovered
    assert (recovered.torn_bytes, recovered.corrupt_bytes) == (12, 0)
    files.kill()
    spool = _open(files)
    assert len(spool.drain()) == 10
    assert spool.lost == 0


def test_damaged_tail_that_was_promised_is_kept_and_counted():
    files, spool = _left(count=3)
    spool.save(synced=True)  # says that three records are on the disk
    written = spool.written[-1]
    files.damage(DIRECTORY / written.segment.file_name(), written.offsets[0], b"\xff" * 10)
    spool = _open(files)
    assert spool.writer.next_seq == 4
    assert spool.opened.recovered.corrupt_bytes > 30
    assert [record.seq for record in spool.drain()] == [1, 2]
    assert spool.lost == 1
    assert len(files.names(DIRECTORY / "corrupt")) == 1


def test_numbers_that_the_cursor_knows_are_not_given_out_again():
    """Delivered, its acknowledgement on the disk, the record itself not: a power cut can do it."""
    files = FaultyFiles()
    spool = _open(files)
    spool.append([Entry(b"a", b"gone")], durable=False)
    spool.drain()
    spool.save(synced=True)
    files.names_seen[DIRECTORY / spool.written[0].segment.file_name()].unsynced.clear()
    files.crash(Random(1))
    spool = _open(files)
    assert spool.append([Entry(b"a", b"new")]) == range(2, 3)
    assert [record.body for record in spool.drain()] == [b"new"]


def test_delivered_segments_that_a_crash_left_are_deleted():
    files, spool = _left()
    spool.drain()
    kept = spool.reader.give_up_delivered()
    cursor = replace(spool.reader.cursor(), synced_seq=10)
    spool.writer.save_cursor(cursor, synced=True)
    assert {name.file_name() for name in kept} <= set(_segments(files))
    spool = _open(files)
    assert not {name.file_name() for name in kept} & set(_segments(files))
    assert (spool.lost, spool.drain()) == (0, [])


def test_missing_first_segments_are_counted_once():
    files, spool = _left()
    first, second = _segments(files)[:2]
    lost = spool.written[0].segment
    base = next(written.segment.base for written in spool.written if written.segment != lost)
    files.unlink(DIRECTORY / first)
    assert second in _segments(files)
    spool = _open(files)
    assert (spool.lost, len(spool.drain())) == (base - 1, 11 - base)
    spool.close()
    assert _open(files).lost == 0


def test_all_segments_missing_are_counted():
    files, spool = _left()
    spool.save(synced=True)
    for name in _segments(files):
        files.unlink(DIRECTORY / name)
    spool = _open(files)
    assert (spool.lost, spool.writer.next_seq) == (10, 11)


def test_both_cursor_slots_damaged_repeat_everything():
    files, spool = _left()
    spool.drain()
    spool.save(synced=True)
    files.damage(DIRECTORY / "cursor", 0, b"\xff" * 8)
    files.damage(DIRECTORY / "cursor", SLOT_BYTES, b"\xff" * 8)
    spool = _open(files)
    assert (len(spool.drain()), spool.lost) == (10, 0)


def test_damaged_headers_cost_no_record():
    files, _ = _left()
    for name in _segments(files):
        files.damage(DIRECTORY / name, 0, bytes(HEADER_BYTES))
    spool = _open(files)
    assert (len(spool.drain()), spool.lost) == (10, 0)


@pytest.mark.parametrize("draft", ["spare.tmp", "thin.tmp", "cursor.tmp"])
def test_drafts_of_a_killed_process_are_removed(draft):
    files, _ = _left()
    if draft not in files.names(DIRECTORY):
        files.open(DIRECTORY / draft, Access.CREATE).close()
    if draft == "cursor.tmp":
        files.unlink(DIRECTORY / "cursor")
    _open(files, with_intake=False)
    assert draft not in files.names(DIRECTORY)


def test_start_reads_one_segment_however_many_there_are():
    reads = []
    for count in (10, 50):
        files, _ = _left(count, size=100)
        before = files.calls["read"]
        _open(files)
        reads.append(files.calls["read"] - before)
    assert reads[0] == reads[1]


def test_records_of_a_killed_process_are_synced_at_the_start():
    files, _ = _left(count=3, durable=False)
    _open(files)
    files.crash(Random(0))
    assert len(_open(files).drain()) == 3


def test_segments_of_another_size_are_read():
    files, _ = _left()
    spool = SteppedSpool(files, small_config(segment_bytes=2048))
    assert len(spool.drain()) == 10


def test_open_spool_cannot_be_opened_again():
    files = FaultyFiles()
    spool = _open(files)
    with pytest.raises(SpoolLocked):
        _open(files)
    spool.close()
    _open(files)


@pytest.mark.parametrize("operation", ["lock", "open", "sync", "read", "write", "write_synced"])
def test_open_on_broken_disk_fails_with_a_typed_error(operation):
    files = FaultyFiles()
    files.fail(operation, *[errno.EIO] * 20)
    with pytest.raises(SpoolFailed):
        _open(files)
    files.faults.clear()
    _open(files).close()


def test_open_on_full_disk_begins_without_a_segment():
    files, spool = _left(count=20)
    spool = _open(files)
    spool.close()
    files.capacity = files.used() - 1024  # the empty segment that is deleted
    spool = _open(files)
    assert spool.append([Entry(b"a", b"x")]) is None
    assert len(spool.drain()) == 20
    spool.sweep()
    assert spool.append([Entry(b"a", b"x")]) == range(21, 22)


def test_open_with_a_bug_leaves_no_lock(monkeypatch):
    files = FaultyFiles()
    monkeypatch.setattr("fallback.spool.startup.opening.recover", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _open(files)
    monkeypatch.undo()
    _open(files).close()


def test_first_cursor_is_written_at_once():
    files = FaultyFiles()
    _open(files)
    assert read_cursor(files, DIRECTORY) == Cursor()
