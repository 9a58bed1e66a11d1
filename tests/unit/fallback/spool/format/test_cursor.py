from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback.spool.format.cursor import (
    SLOT_BYTES,
    Cursor,
    CursorFile,
    decode_slot,
    encode_slot,
    read_cursor,
)
from tests.support.faulty_files import FaultyFiles

HOME = Path("/spool")
SEQS = st.integers(0, 2**63)


@given(SEQS, SEQS, st.dictionaries(st.binary(max_size=255), SEQS, max_size=20), SEQS)
def test_slot_survives_without_lanes_below_low_water(low_water, synced, acked, generation):
    cursor = Cursor(low_water, synced, acked)
    ahead = {lane: seq for lane, seq in acked.items() if seq > low_water}
    data = encode_slot(cursor, generation).ljust(SLOT_BYTES, b"\xff")
    assert decode_slot(data) == (generation, Cursor(low_water, synced, ahead))


def test_slot_with_any_flipped_bit_is_refused():
    slot = encode_slot(Cursor(3, 9, {b"a": 5, b"bc": 7}), 4)
    for bit in range(len(slot) * 8):
        damaged = bytearray(slot)
        damaged[bit // 8] ^= 1 << bit % 8
        assert decode_slot(bytes(damaged)) is None


@pytest.mark.parametrize("data", [b"", bytes(10), bytes(SLOT_BYTES)])
def test_slot_never_written_is_refused(data):
    assert decode_slot(data) is None


def test_slot_too_small_for_all_lanes_drops_the_least_advanced():
    acked = {number.to_bytes(250, "big"): number for number in range(1, 500)}
    data = encode_slot(Cursor(0, 0, acked), 1)
    assert len(data) <= SLOT_BYTES
    found = decode_slot(data)
    assert found is not None
    kept = found[1].acked
    assert 200 < len(kept) < 499
    assert set(kept.values()) == set(range(500 - len(kept), 500))


def test_highest_counts_every_number_that_it_knows():
    assert Cursor().highest() == 0
    assert Cursor(3, 9, {b"a": 5}).highest() == 9
    assert Cursor(3, 4, {b"a": 5}).highest() == 5
    assert Cursor(8, 4, {b"a": 5}).highest() == 8


def test_new_file_has_no_state_and_its_full_size():
    files = FaultyFiles()
    assert read_cursor(files, HOME) is None
    cursor = CursorFile(files, HOME)
    assert cursor.recovered is None
    assert files.size(HOME / "cursor") == 2 * SLOT_BYTES
    assert read_cursor(files, HOME) is None


@pytest.mark.parametrize("seed", range(200))
def test_crash_keeps_the_synced_state_or_a_newer_one(seed):
    random = Random(seed)
    files = FaultyFiles()
    synced = written = 0
    for _ in range(4):
        cursor = CursorFile(files, HOME)
        found = cursor.recovered or Cursor()
        assert synced <= found.low_water <= written
        synced = found.low_water
        for _ in range(random.randrange(6)):
            written += 1
            is_synced = random.random() < 0.3
            cursor.write(Cursor(written, written, {b"l" * 60: written * 2}), synced=is_synced)
            synced = written if is_synced else synced
        files.crash(random)


def test_killed_process_leaves_its_newest_state_and_opening_makes_it_durable():
    files = FaultyFiles()
    first = CursorFile(files, HOME)
    first.write(Cursor(1), synced=True)
    first.write(Cursor(2), synced=False)
    second = CursorFile(files, HOME)
    assert second.recovered == Cursor(2)
    second.write(Cursor(3), synced=False)
    files.crash(Random(0))
    assert (read_cursor(files, HOME) or Cursor()).low_water >= 2


def test_damaged_newest_slot_falls_back_to_the_other():
    files = FaultyFiles()
    cursor = CursorFile(files, HOME)
    cursor.write(Cursor(1), synced=True)
    cursor.write(Cursor(2), synced=True)
    newest = next(
        number * SLOT_BYTES
        for number in (0, 1)
        if decode_slot(bytes(files.content(HOME / "cursor"))[number * SLOT_BYTES :])
        == (2, Cursor(2))
    )
    files.damage(HOME / "cursor", newest, b"\xff")
    assert CursorFile(files, HOME).recovered == Cursor(1)


def test_crash_in_creation_leaves_a_file_that_is_made_again():
    files = FaultyFiles()
    files.fail("rename", 5)
    with pytest.raises(OSError, match="Input/output"):
        CursorFile(files, HOME)
    assert CursorFile(files, HOME).recovered is None
