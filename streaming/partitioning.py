"""Which partition a key lives in: the Java client's murmur2, so that every producer agrees."""

from __future__ import annotations

_MASK = 0xFFFF_FFFF
_SEED = 0x9747_B28C
_MULTIPLIER = 0x5BD1_E995
_TAIL_SHIFT = 13
_END_SHIFT = 15
_BLOCK_SHIFT = 24


def partition_for(key: bytes, partitions: int) -> int:
    """The partition of a key among `partitions`; equal to Kafka's default partitioner."""
    return (murmur2(key) & 0x7FFF_FFFF) % partitions


def murmur2(data: bytes) -> int:
    """MurmurHash2, 32 bits, with the seed of `org.apache.kafka.common.utils.Utils.murmur2`."""
    whole = len(data) & ~3
    digest = _SEED ^ len(data)
    for start in range(0, whole, 4):
        block = int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER & _MASK
        block ^= block >> _BLOCK_SHIFT
        digest = digest * _MULTIPLIER & _MASK ^ block * _MULTIPLIER & _MASK
    if whole < len(data):
        digest = (digest ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER & _MASK
    digest = (digest ^ digest >> _TAIL_SHIFT) * _MULTIPLIER & _MASK
    return digest ^ digest >> _END_SHIFT
