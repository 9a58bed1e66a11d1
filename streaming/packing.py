"""A record as one string of bytes, to be kept until Kafka has it. Pure.

version u8, key length u32, value length u32, number of headers u16; for each header the
length of its name u16 and of its value u32; then key, value, names and values in this order.
The greatest length stands for "there is none". Little-endian.
"""

from __future__ import annotations

import struct
from itertools import chain

from streaming.codec import WireRecord

_VERSION = 1
_HEAD = struct.Struct("<BIIH")
_HEADER_LENGTHS = struct.Struct("<HI")
_NONE = 0xFFFF_FFFF
_SIZES: dict[int, struct.Struct] = {}


class UnreadableRecord(Exception):
    """Bytes that `pack` did not make, or a later release did."""


def pack(record: WireRecord) -> bytes:
    """The record's bytes. Raises `ValueError` for a header that is too long."""
    headers = [(name.encode(), value) for name, value in record.headers]
    try:
        lengths = [
            _HEADER_LENGTHS.pack(len(name), _NONE if value is None else len(value))
            for name, value in headers
        ]
        head = _HEAD.pack(_VERSION, _length(record.key), _length(record.value), len(headers))
    except struct.error as error:
        raise ValueError(f"a record that cannot be packed: {error}") from None
    texts = chain.from_iterable((name, value or b"") for name, value in headers)
    return b"".join((head, *lengths, record.key or b"", record.value or b"", *texts))


def unpack(data: bytes) -> WireRecord:
    """The record. Raises `UnreadableRecord`."""
    try:
        version, key_length, value_length, count = _HEAD.unpack_from(data)
        if version != _VERSION:
            raise UnreadableRecord(f"version {version}")
        lengths = _lengths(count).unpack_from(data, _HEAD.size)
    except struct.error:
        raise UnreadableRecord("too short") from None
    at = _HEAD.size + _HEADER_LENGTHS.size * count
    key, at = _cut(data, at, key_length)
    value, at = _cut(data, at, value_length)
    headers = []
    try:
        for place in range(0, 2 * count, 2):
            end = at + lengths[place]
            name = data[at:end].decode()
            text, at = _cut(data, end, lengths[place + 1])
            headers.append((name, text))
    except UnicodeDecodeError:
        raise UnreadableRecord("a header's name is not text") from None
    if at != len(data):
        raise UnreadableRecord(f"{len(data)} bytes, not {at}")
    return WireRecord(key, value, tuple(headers))


def _length(part: bytes | None) -> int:
    return _NONE if part is None else len(part)


def _cut(data: bytes, at: int, length: int) -> tuple[bytes | None, int]:
    if length == _NONE:
        return None, at
    return data[at : at + length], at + length


def _lengths(count: int) -> struct.Struct:
    """All lengths of so many headers at once; records have seven or eight of them."""
    found = _SIZES.get(count)
    if found is None:
        found = _SIZES[count] = struct.Struct("<" + "HI" * count)
    return found
