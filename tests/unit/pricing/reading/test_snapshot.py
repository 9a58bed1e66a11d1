from __future__ import annotations

import os
import struct
import zlib
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from pricing.reading.snapshot import (
    FILE_NAME,
    VERSION,
    Snapshot,
    SnapshotFault,
    SnapshotFile,
    decode,
    encode,
)
from tests.support.zone_states import TICK_MS, calm, zone_state

SNAPSHOT = Snapshot(TICK_MS + 7, [zone_state("a"), calm(zone_state("b", TICK_MS + 5_000))])


def names_in(directory):
    return [path.name for path in directory.iterdir()]


def sealed(payload, *, magic=b"EQZONES\n", version=VERSION):
    return struct.pack(">8sHIQ", magic, version, zlib.crc32(payload), len(payload)) + payload


def test_snapshot_comes_back_as_it_was():
    assert decode(encode(SNAPSHOT)) == SNAPSHOT
    assert decode(encode(Snapshot(0, []))) == Snapshot(0, [])


@given(st.integers(0, len(encode(SNAPSHOT)) - 1))
def test_file_that_ends_anywhere_too_early_is_refused(length):
    with pytest.raises(SnapshotFault):
        decode(encode(SNAPSHOT)[:length])


@given(st.integers(0, len(encode(SNAPSHOT)) * 8 - 1))
def test_file_with_a_flipped_bit_is_refused(bit):
    data = bytearray(encode(SNAPSHOT))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SnapshotFault):
        decode(bytes(data))


@given(st.binary(max_size=200))
def test_foreign_bytes_are_refused(data):
    with pytest.raises(SnapshotFault):
        decode(data)


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("version 2", sealed(b"{}", version=2)),
        ("not a snapshot", sealed(b"{}", magic=b"RDB0011\n")),
        ("not one of ours", sealed(b"{}")),
        ("not one of ours", sealed(b"[1]")),
        ("not one of ours", sealed(b"\xff")),
        ("not one of ours", sealed(b'{"saved_at_ms": 1, "states": [[1, 2]]}')),
        ("not one of ours", sealed(b'{"saved_at_ms": 1, "states": [7]}')),
        ("not one of ours", sealed(b'{"saved_at_ms": -1, "states": []}')),
        ("not one of ours", sealed(b'{"saved_at_ms": true, "states": []}')),
    ],
)
def test_file_of_another_kind_is_refused_with_its_reason(fault, data):
    with pytest.raises(SnapshotFault, match=fault):
        decode(data)


@given(st.integers(0, 13), st.one_of(st.none(), st.floats(), st.text(), st.lists(st.booleans())))
def test_state_with_a_field_of_another_kind_is_no_crash(column, value):
    payload = orjson.loads(encode(SNAPSHOT)[22:])
    payload["states"][0][column] = value
    with suppress(SnapshotFault):
        decode(sealed(orjson.dumps(payload)))


def test_file_is_written_and_read_and_leaves_nothing_beside_it(tmp_path):
    seen = []
    file = SnapshotFile(tmp_path / "state", on_outcome=seen.append)
    assert file.load() is None
    assert file.write(SNAPSHOT)
    assert file.load() == SNAPSHOT
    assert names_in(tmp_path / "state") == [FILE_NAME]
    assert seen == ["missing", "written", "loaded"]


def test_torn_file_is_ignored_and_replaced(tmp_path):
    (tmp_path / FILE_NAME).write_bytes(encode(SNAPSHOT)[:-5])
    seen = []
    file = SnapshotFile(tmp_path, on_outcome=seen.append)
    assert file.load() is None
    assert file.write(SNAPSHOT)
    assert file.load() == SNAPSHOT
    assert seen == ["ignored", "written", "loaded"]


def test_disk_that_refuses_is_told_once_and_is_not_fatal(tmp_path):
    (tmp_path / "state").write_text("a file where the directory should be")
    seen = []
    file = SnapshotFile(tmp_path / "state", on_outcome=seen.append)
    with capture_logs() as logs:
        assert not file.write(SNAPSHOT)
        assert not file.write(SNAPSHOT)
        assert file.load() is None
    assert [entry["event"] for entry in logs] == [
        "zone snapshot not written",
        "zone snapshot ignored",
    ]
    assert seen == ["failed", "failed", "ignored"]


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = SnapshotFile(tmp_path)
    file.write(SNAPSHOT)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    assert not file.write(Snapshot(1, []))
    assert file.load() == SNAPSHOT
    assert names_in(tmp_path) == [FILE_NAME]
