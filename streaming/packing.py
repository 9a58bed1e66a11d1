"""A record as one string of bytes, to be kept until Kafka has it. Pure.

version u8, key length u32, value length u32, number of headers u16; for each header the
length of its name u16 and of its value u32; then key, value, names and values in this order.
The greatest length stands for "there is none". Little-endian.
"""

from __future__ import annotations

import struct
from itertools import chain

from streaming.codec import Header, WireRecord

_VERSION = 1
_HEAD = struct.Struct("<BIIH")
_HEADER_LENGTHS = struct.Struct("<HI")
_NONE = 0xFFFF_FFFF
_SIZES: dict[int, struct.Struct] = {}
_NAMES: dict[bytes, str] = {}
_NAMES_AT_MOST = 100


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
        lengths = (_SIZES.get(count) or _lengths(count)).unpack_from(data, _HEAD.size)
    except struct.error:
        raise UnreadableRecord("too short") from None
    at = _HEAD.size + _HEADER_LENGTHS.size * count
    key = value = None
    if key_length != _NONE:
        key, at = data[at : at + key_length], at + key_length
    if value_length != _NONE:
        value, at = data[at : at + value_length], at + value_length
    headers: list[Header] = []
    # Written out, for this runs for every record that is sent.
    for name_length, text_length in zip(lengths[::2], lengths[1::2], strict=True):
        raw = data[at : at + name_length]
        at += name_length
        name = _NAMES.get(raw) or _name(raw)
        if text_length == _NONE:
            headers.append((name, None))
        else:
            headers.append((name, data[at : at + text_length]))
            at += text_length
    if at != len(data):
        raise UnreadableRecord(f"{len(data)} bytes, not {at}")
    return WireRecord(key, value, tuple(headers))


def _length(part: bytes | None) -> int:
    return _NONE if part is None else len(part)


def _name(raw: bytes) -> str:
    """A header's name; most records have the same few."""
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise UnreadableRecord("a header's name is not text") from None
    if len(_NAMES) < _NAMES_AT_MOST:
        _NAMES[raw] = name
    return name


def _lengths(count: int) -> struct.Struct:
    """All lengths of so many headers at once; records have seven or eight of them."""
    found = struct.Struct("<" + "HI" * count)
    if len(_SIZES) < _NAMES_AT_MOST:
        _SIZES[count] = found
    return found
