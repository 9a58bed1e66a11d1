from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.spool.format.io import Access
from fallback.spool.format.segment import (
    HEADER_BYTES,
    ActiveSegment,
    SegmentName,
    decode_header,
    encode_header,
    new_marker,
)
from tests.support.faulty_files import FaultyFiles

NAME = SegmentName(3, 101, 0x9F3C21AA)


@given(st.integers(0, 10**10 - 1), st.integers(0, 10**20 - 1), st.integers(0, 2**32 - 1))
def test_name_survives_the_file_name(number, base, marker):
    name = SegmentName(number, base, marker)
    assert SegmentName.parse(name.file_name()) == name


@pytest.mark.parametrize("name", ["", "lock", "cursor", "spare.tmp", "1-2-3.seg"])
def test_other_files_are_no_segments(name):
    assert SegmentName.parse(name) is None


def test_names_sort_by_number_as_text_and_as_values():
    names = [SegmentName(number, base, 1) for number, base in [(2, 9), (10, 9), (1, 5)]]
    assert sorted(names) == sorted(names, key=SegmentName.file_name)


@given(st.binary(min_size=4, max_size=4))
def test_marker_has_no_zero_byte(random):
    assert 0 not in new_marker(random).to_bytes(4, "little")


def test_header_survives():
    header = encode_header(NAME, 1_700_000_000_000)
    assert len(header) == HEADER_BYTES
    assert decode_header(header) == (NAME, 1_700_000_000_000)


def test_header_with_any_flipped_bit_is_refused():
    header = encode_header(NAME, 5)
    for bit in range(HEADER_BYTES * 8):
        damaged = bytearray(header)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_header(bytes(damaged)) is None


def test_short_header_is_refused():
    assert decode_header(encode_header(NAME, 5)[:-1]) is None


def test_header_of_other_kind_is_refused(monkeypatch):
    monkeypatch.setattr("fallback.spool.format.segment.MAGIC", b"SOMEELSE")
    header = encode_header(NAME, 5)
    monkeypatch.undo()
    assert decode_header(header) is None


def test_active_segment_leaves_no_file_open_when_the_second_fails():
    files = FaultyFiles()
    path = Path("/spool") / NAME.file_name()
    files.open(path, Access.CREATE).close()
    files.fail("open", 0, 5)
    closed = files.calls["close"]
    with pytest.raises(OSError, match="Input/output"):
        ActiveSegment(files, path, NAME, 1024)
    assert files.calls["close"] == closed + 1
