"""Damage of every kind: no wrong payload, neighbours readable, losses counted exactly."""

from __future__ import annotations

import pytest

from fallback.spool.format import scan as scan_module
from fallback.spool.format.io import Access
from fallback.spool.format.record import Entry, Record, encode
from fallback.spool.format.scan import Damage, Stretch, scan
from fallback.spool.format.segment import HEADER_BYTES, SegmentName
from tests.support.faulty_files import FaultyFiles
from tests.support.stepped_spool import DIRECTORY, SteppedSpool, small_config

MARKER = 0x11223344
COUNT = 12


def _write(files, entries) -> SteppedSpool:
    spool = SteppedSpool(files, small_config())
    for entry in entries:
        assert spool.append([entry]) is not None
    return spool


def _entries(count=COUNT):
    return [Entry(b"a" if n % 2 else b"b", b"body-%d" % n) for n in range(1, count + 1)]


def _frames(spool) -> dict[int, tuple[int, int]]:
    """By sequence number: where its frame starts and ends."""
    return {
        record.seq: (start, end)
        for written in spool.written
        for record, start, end in zip(
            written.records, written.offsets, [*written.offsets[1:], written.end], strict=True
        )
    }


def _sealed(files) -> tuple[SteppedSpool, str]:
    """A first segment with records in it, and its file; the spool is closed in good order."""
    spool = _write(files, _entries())
    name = spool.written[0].segment.file_name()
    spool.close()
    return spool, name


@pytest.mark.parametrize("bit", [0, 5])
def test_every_flipped_byte_costs_at_most_its_own_record(bit):
    entries = dict(enumerate(_entries(), 1))
    files = FaultyFiles()
    frames = _frames(_sealed(files)[0])
    length = max(end for _, end in frames.values())
    for at in range(length):
        files = FaultyFiles()
        _, name = _sealed(files)
        path = DIRECTORY / name
        files.damage(path, at, bytes([files.content(path)[at] ^ 1 << bit]))
        hit = {seq for seq, (start, end) in frames.items() if start <= at < end}
        spool = SteppedSpool(files, small_config())
        found = {record.seq: Entry(record.lane, record.body) for record in spool.drain()}
        assert found == {seq: entry for seq, entry in entries.items() if seq not in hit}
        assert spool.lost == len(hit)


def test_damage_in_the_running_process_is_counted_when_it_is_read():
    files = FaultyFiles()
    spool = _write(files, _entries())
    path = DIRECTORY / spool.written[0].segment.file_name()
    start, _ = _frames(spool)[6]
    files.damage(path, start + 10, b"\xff")
    spool.read_all()
    for lane in spool.reader.lanes.values():
        lane.release()
    assert sorted(record.seq for record in spool.drain()) == [*range(1, 6), *range(7, 13)]
    assert spool.lost == 1
    assert spool.is_drained


def test_zeroed_stretch_is_a_hole_without_bytes():
    files = FaultyFiles()
    spool, name = _sealed(files)
    frames = _frames(spool)
    start, end = frames[4][0], frames[6][1]
    files.damage(DIRECTORY / name, start, bytes(end - start))
    spool = SteppedSpool(files, small_config())
    assert [record.seq for record in spool.drain() if 4 <= record.seq <= 6] == []
    assert [damage for _, damage in spool.damages] == [Damage(start, 0, 4, 3)]


def test_body_that_holds_a_frame_is_never_taken_for_one():
    """Not even behind damage: a frame of somebody else's has another marker."""
    forged = encode(Record(2, b"a", b"forged", 1), MARKER)
    files = FaultyFiles()
    spool = _write(files, [Entry(b"a", forged), Entry(b"a", b"true")])
    path = DIRECTORY / spool.written[0].segment.file_name()
    spool.close()
    files.damage(path, HEADER_BYTES + 8, b"\xff")
    spool = SteppedSpool(files, small_config())
    assert [record.body for record in spool.drain()] == [b"true"]
    assert spool.lost == 1


def test_missing_segment_is_counted_and_stepped_over():
    files = FaultyFiles()
    spool = _write(files, [Entry(b"a", bytes(200)) for _ in range(12)])
    names = list(dict.fromkeys(written.segment for written in spool.written))
    spool.close()
    lost = names[2].base - names[1].base
    files.unlink(DIRECTORY / names[1].file_name())
    files.sync_directory(DIRECTORY)
    spool = SteppedSpool(files, small_config())
    assert len(spool.drain()) == 12 - lost
    assert spool.lost == lost


def test_segment_missing_while_open_reads_as_one_hole():
    files = FaultyFiles()
    spool = _write(files, [Entry(b"a", bytes(200)) for _ in range(12)])
    spool.read_all()
    for lane in spool.reader.lanes.values():
        lane.release()
    name = spool.written[0].segment
    held = sum(len(written.records) for written in spool.written if written.segment == name)
    files.unlink(DIRECTORY / name.file_name())
    assert len(spool.drain()) == 12 - held
    assert spool.lost == held


# ---------------------------------------------------------------- scan, by itself


def _file(data: bytes):
    files = FaultyFiles()
    path = DIRECTORY / SegmentName(1, 1, MARKER).file_name()
    file = files.open(path, Access.CREATE)
    file.write_at(0, bytes(HEADER_BYTES) + data)
    return file


def _stretch(size: int, end_seq: int | None = None, limit: int = 64) -> Stretch:
    return Stretch(MARKER, HEADER_BYTES, 1, end_seq, HEADER_BYTES + size, limit)


def _frame(seq: int, size: int = 10) -> bytes:
    return encode(Record(seq, b"l", bytes(range(1, size + 1)), 5), MARKER)


def test_scan_reads_a_frame_larger_than_one_read():
    data = _frame(1, 200)
    chunk = scan(_file(data), _stretch(len(data), 2))
    assert [record.seq for record in chunk.records] == [1]
    assert chunk.at_end


def test_scan_stops_behind_its_limit_and_goes_on():
    data = b"".join(_frame(seq) for seq in range(1, 6))
    file = _file(data)
    stretch = _stretch(len(data), 6)
    seqs = []
    for _ in range(20):
        chunk = scan(file, stretch)
        seqs += [record.seq for record in chunk.records]
        if chunk.at_end:
            break
        stretch = Stretch(
            MARKER, chunk.next_offset, chunk.next_seq, 6, stretch.extent, stretch.limit
        )
    assert seqs == [1, 2, 3, 4, 5]


def test_scan_ends_where_the_next_segment_begins():
    """What a suspect segment shares with its successor counts there."""
    data = b"".join(_frame(seq) for seq in range(1, 6))
    chunk = scan(_file(data), _stretch(len(data), 3, limit=1_000))
    assert [record.seq for record in chunk.records] == [1, 2]
    assert chunk.damage is None


def test_scan_behind_damage_does_not_enter_the_next_segment():
    data = b"\xff" * 40 + _frame(7)
    chunk = scan(_file(data), _stretch(len(data), 5))
    assert (chunk.damage, chunk.at_end) == (Damage(HEADER_BYTES, len(data), 1, 4), True)


def test_scan_takes_an_older_number_for_damage():
    data = _frame(1) + _frame(1) + _frame(2)
    chunk = scan(_file(data), _stretch(len(data), limit=1_000))
    assert chunk.damage == Damage(HEADER_BYTES + len(_frame(1)), len(_frame(1)), 2, 0)


def test_scan_of_file_shorter_than_said_counts_the_rest():
    data = _frame(1) + _frame(2, 100)
    chunk = scan(_file(data[:-50]), _stretch(len(data), 3))
    while not chunk.at_end:
        rest = Stretch(MARKER, chunk.next_offset, chunk.next_seq, 3, HEADER_BYTES + len(data), 64)
        chunk = scan(_file(data[:-50]), rest)
    assert chunk.damage is not None
    assert (chunk.damage.first_seq, chunk.damage.lost) == (2, 1)


@pytest.mark.parametrize("gap", range(60, 130))
def test_scan_finds_a_marker_across_any_window_border(monkeypatch, gap):
    monkeypatch.setattr(scan_module, "_WINDOW", 64)
    data = b"\xee" * gap + _frame(3)
    chunk = scan(_file(data), _stretch(len(data), 4))
    assert chunk.damage == Damage(HEADER_BYTES, gap, 1, 2)
    assert chunk.next_offset == HEADER_BYTES + gap


def test_scan_passes_markers_without_a_frame():
    mark = MARKER.to_bytes(4, "little")
    cut = _frame(1, 100)[:60]
    data = mark * 20 + cut + _frame(2)
    chunk = scan(_file(data), _stretch(len(data), 3))
    assert chunk.damage == Damage(HEADER_BYTES, len(data) - len(_frame(2)), 1, 1)
