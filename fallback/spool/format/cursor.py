"""How far each lane is delivered, kept in a small file with two slots (see FORMAT).

A write without sync never touches the slot that was last synced, so one whole slot survives
every crash. Losing the newer one repeats deliveries, and never skips any.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from zlib import crc32

from fallback.spool.format.io import Access, FaultPoint, File, Files

FILE_NAME = "cursor"
SLOT_BYTES = 64 * 1024
_HEAD = struct.Struct("<II")  # CRC over the rest, length of the rest
_REST = struct.Struct("<QQQI")  # generation, low_water, synced_seq, number of lanes
_ACKED = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Cursor:
    """One state of the acknowledgements."""

    low_water: int = 0
    """Everything up to here is delivered; segments that end here may be gone."""
    synced_seq: int = 0
    """Everything up to here was once on the disk, so a damaged one was a promise."""
    acked: Mapping[bytes, int] = field(default_factory=dict)
    """By lane: everything of it up to here is delivered. Lanes below `low_water` are left out."""

    def highest(self) -> int:
        """No sequence number up to here may be given out again: the lane would skip it."""
        return max(self.low_water, self.synced_seq, *self.acked.values(), 0)


def encode_slot(cursor: Cursor, generation: int) -> bytes:
    """A slot's bytes.

    Lanes that do not fit are left out, the least advanced first: they are delivered again.
    """
    ahead = [(seq, lane) for lane, seq in cursor.acked.items() if seq > cursor.low_water]
    room = SLOT_BYTES - _HEAD.size - _REST.size
    lanes = []
    for seq, lane in sorted(ahead, reverse=True):
        item = bytes((len(lane),)) + lane + _ACKED.pack(seq)
        if len(item) > room:
            break
        room -= len(item)
        lanes.append(item)
    rest = _REST.pack(generation, cursor.low_water, cursor.synced_seq, len(lanes)) + b"".join(lanes)
    return _HEAD.pack(crc32(rest), len(rest)) + rest


def decode_slot(data: bytes) -> tuple[int, Cursor] | None:
    """Generation and state. None: never written, or torn."""
    if len(data) < _HEAD.size + _REST.size:
        return None
    crc, length = _HEAD.unpack_from(data)
    rest = data[_HEAD.size : _HEAD.size + length]
    if len(rest) != length or length < _REST.size or crc32(rest) != crc:
        return None
    generation, low_water, synced_seq, lanes = _REST.unpack_from(rest)
    acked = {}
    at = _REST.size
    for _ in range(lanes):
        lane = rest[at + 1 : at + 1 + rest[at]]
        at += 1 + len(lane)
        (acked[lane],) = _ACKED.unpack_from(rest, at)
        at += _ACKED.size
    return generation, Cursor(low_water, synced_seq, acked)


class CursorFile:
    """The open file. Belongs to one thread. Every method may raise `OSError`."""

    def __init__(self, files: Files, directory: Path) -> None:
        self._files = files
        path = directory / FILE_NAME
        if FILE_NAME not in files.names(directory):
            _create(files, directory)
        self._file: File = files.open(path, Access.WRITE)
        # The newest slot may have been written by a killed process and never synced.
        self._file.sync()
        slots = [_read_slot(self._file, number) for number in (0, 1)]
        whole = [(slot[0], number) for number, slot in enumerate(slots) if slot is not None]
        generation, newest = max(whole, default=(0, 1))
        slot = slots[newest]
        self.recovered: Cursor | None = None if slot is None else slot[1]
        """What the file said when it was opened. None: new, or both slots damaged."""
        self._generation = generation
        self._kept = newest
        """The slot that the next write leaves alone."""

    def write(self, cursor: Cursor, *, synced: bool) -> None:
        """Write a state into the slot that is free; with `synced`, make it the one to keep."""
        # Never the slot that was synced last: a write that tears costs the other one.
        number = 1 - self._kept
        # Grows with every write: the newer of two whole slots is known after a crash.
        self._generation += 1
        data = encode_slot(cursor, self._generation)
        self._file.write_at(number * SLOT_BYTES, data)
        self._files.reached(FaultPoint.CURSOR_WRITTEN)
        if synced:
            self._file.sync()
            # Only after it: a sync that fails leaves the older slot the one to keep.
            self._kept = number
            self._files.reached(FaultPoint.CURSOR_SYNCED)

    def close(self) -> None:
        self._file.close()


def read_cursor(files: Files, directory: Path) -> Cursor | None:
    """The newest whole state, without a lock. None: no file, or no whole slot."""
    if FILE_NAME not in files.names(directory):
        return None
    file = files.open(directory / FILE_NAME, Access.READ)
    try:
        slots = [slot for number in (0, 1) if (slot := _read_slot(file, number)) is not None]
    finally:
        file.close()
    return max(slots, key=lambda slot: slot[0])[1] if slots else None


def _read_slot(file: File, number: int) -> tuple[int, Cursor] | None:
    return decode_slot(file.read_at(number * SLOT_BYTES, SLOT_BYTES))


def _create(files: Files, directory: Path) -> None:
    """Make the file at its full size: a full disk cannot stop an acknowledgement later.

    Not by `replace_file`: every step goes through the port, so that tests crash between them.
    """
    draft = directory / f"{FILE_NAME}.tmp"
    if draft.name in files.names(directory):
        files.unlink(draft)
    file = files.open(draft, Access.CREATE)
    try:
        file.write_at(0, bytes(2 * SLOT_BYTES))
        file.sync()
    finally:
        file.close()
    files.rename(draft, directory / FILE_NAME)
    files.sync_directory(directory)
