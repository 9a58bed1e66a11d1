"""Segment files: their names, their headers, and the one that is written to (see FORMAT)."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from fallback.spool.format.io import Access, Files
from fallback.spool.format.record import Record, encode

MAGIC = b"SPOOLSEG"
VERSION = 1
HEADER_BYTES = 64
_HEADER = struct.Struct("<8sHHIQQQ")  # magic, version, reserved, marker, number, base, created_ms
_CRC = struct.Struct("<I")
_NAME = re.compile(r"(\d{10})-(\d{20})-([0-9a-f]{8})\.seg")


class SegmentName(NamedTuple):
    """What tells a segment from all others. Sorted by number, bases never fall."""

    number: int
    base: int
    """Sequence number of its first record."""
    marker: int
    """Four random bytes, none of them zero, at the start of each of its frames."""

    def file_name(self) -> str:
        return f"{self.number:010d}-{self.base:020d}-{self.marker:08x}.seg"

    @classmethod
    def parse(cls, name: str) -> SegmentName | None:
        """None: not a segment's file."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        return cls(int(match[1]), int(match[2]), int(match[3], 16))


def new_marker(random: bytes) -> int:
    """A marker out of four random bytes. A zero would be found all over the unwritten rest."""
    return int.from_bytes(bytes(byte or 0xA5 for byte in random), "little")


def encode_header(name: SegmentName, created_ms: int) -> bytes:
    header = _HEADER.pack(MAGIC, VERSION, 0, name.marker, name.number, name.base, created_ms)
    header = header.ljust(HEADER_BYTES - _CRC.size, b"\0")
    return header + _CRC.pack(crc32(header))


def decode_header(data: bytes) -> tuple[SegmentName, int] | None:
    """Name and `created_ms`. None: damaged, or from a release that we do not know."""
    if len(data) < HEADER_BYTES:
        return None
    (crc,) = _CRC.unpack_from(data, HEADER_BYTES - _CRC.size)
    if crc32(data[: HEADER_BYTES - _CRC.size]) != crc:
        return None
    magic, version, _, marker, number, base, created_ms = _HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        return None
    return SegmentName(number, base, marker), created_ms


class ActiveSegment:
    """The segment that is appended to. Two descriptors: one syncs each write, one none."""

    def __init__(self, files: Files, path: Path, name: SegmentName, size: int) -> None:
        self.name = name
        self.path = path
        self._size = size
        self.end = HEADER_BYTES
        """Offset behind the last frame."""
        self._plain = files.open(path, Access.WRITE)
        try:
            self._synced = files.open(path, Access.SYNCED)
        except BaseException:
            self._plain.close()
            raise

    @property
    def room(self) -> int:
        """Bytes of frames that still fit."""
        return self._size - self.end

    def frames(self, records: Sequence[Record]) -> list[bytes]:
        marker = self.name.marker
        return [encode(record, marker) for record in records]

    def write(self, data: bytes, *, synced: bool) -> None:
        """Put frames behind the last one. Raises `OSError`; then nothing is known of them."""
        file = self._synced if synced else self._plain
        file.write_at(self.end, data)
        self.end += len(data)

    def sync(self) -> None:
        """Make everything written so far durable."""
        self._plain.sync()

    def close(self) -> None:
        try:
            self._plain.close()
        finally:
            self._synced.close()
