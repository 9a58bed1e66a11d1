"""Kafka's whole numbers of variable length: zigzag, seven bits a byte, the lowest first. Pure."""

from __future__ import annotations

_MORE = 0x80
_BITS = 0x7F
_BYTES_AT_MOST = 5
"""Of a number of 32 bits, as all lengths are."""


def encode_varint(number: int) -> bytes:
    """The bytes of a number of 32 bits."""
    rest = number << 1 ^ number >> 31
    encoded = bytearray()
    while rest > _BITS:
        encoded.append(rest & _BITS | _MORE)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


SMALL = tuple(encode_varint(number) for number in range(2_048))
"""By number: what nearly all lengths are."""


def varint(number: int) -> bytes:
    """The same for a number that is not negative, and fast for a small one."""
    return SMALL[number] if number < len(SMALL) else encode_varint(number)


def decode_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at an offset, and the offset behind it. Raises `ValueError`."""
    rest = 0
    for place, byte in enumerate(data[at : at + _BYTES_AT_MOST]):
        rest |= (byte & _BITS) << 7 * place
        if not byte & _MORE:
            return rest >> 1 ^ -(rest & 1), at + place + 1
    raise ValueError("no number ends here")
