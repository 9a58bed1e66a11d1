"""A record as one string of bytes, to be kept until Kafka has it. Pure.

A version (u8), then key, value and headers exactly as they lie in a batch of Kafka's format 2, so
that sending does not take them apart again (`streaming.producing.record_batch`): key and value each
behind its length, the number of headers, and for each of them name and value behind their lengths.
All lengths are varints; -1 stands for "there is none".
"""

from __future__ import annotations

from streaming.errors import StreamingError
from streaming.events.codec import Header, WireRecord
from streaming.events.varint import decode_varint, encode_varint, varint

VERSION = b"\x02"
_NONE = encode_varint(-1)
_NAMES: dict[str, bytes] = {}
_NAMES_AT_MOST = 100


class UnreadableRecord(StreamingError):
    """Bytes that `pack` did not make, or another release did."""


def pack(record: WireRecord) -> bytes:
    """The record's bytes. Raises `ValueError` for a header's name that is not text."""
    key, value, headers = record.key, record.value, record.headers
    parts = [VERSION]
    parts += (_NONE,) if key is None else (varint(len(key)), key)
    parts += (_NONE,) if value is None else (varint(len(value)), value)
    parts.append(varint(len(headers)))
    for name, text in headers:
        parts.append(_NAMES.get(name) or _name(name))
        parts += (_NONE,) if text is None else (varint(len(text)), text)
    return b"".join(parts)


def unpack(data: bytes) -> WireRecord:
    """The record. Raises `UnreadableRecord`."""
    if data[:1] != VERSION:
        raise UnreadableRecord(f"version {data[:1]!r}")
    try:
        key, at = _part(data, 1)
        value, at = _part(data, at)
        headers, at = _headers(data, at)
    except ValueError as error:
        raise UnreadableRecord(str(error)) from None
    if at != len(data):
        raise UnreadableRecord(f"{len(data)} bytes, not {at}")
    return WireRecord(key, value, tuple(headers))


def _headers(data: bytes, at: int) -> tuple[list[Header], int]:
    count, at = decode_varint(data, at)
    if count < 0:
        raise ValueError(f"{count} headers")
    headers: list[Header] = []
    for _ in range(count):
        name, at = _part(data, at)
        text, at = _part(data, at)
        if name is None:
            raise ValueError("a header has no name")
        headers.append((name.decode(), text))
    return headers, at


def _part(data: bytes, at: int) -> tuple[bytes | None, int]:
    """What stands behind its length at an offset, and the offset behind it."""
    length, at = decode_varint(data, at)
    if length == -1:
        return None, at
    if not 0 <= length <= len(data) - at:
        raise ValueError(f"a length of {length}")
    return data[at : at + length], at + length


def _name(name: str) -> bytes:
    """A header's name behind its length; most records have the same few."""
    raw = name.encode()
    packed = varint(len(raw)) + raw
    if len(_NAMES) < _NAMES_AT_MOST:
        _NAMES[name] = packed
    return packed
