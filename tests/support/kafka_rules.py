"""Grants and revokes at a broker: the two requests of Kafka that aiokafka does not have."""

from __future__ import annotations

import asyncio
import struct
from enum import IntEnum
from typing import NamedTuple

from pricing.embedded.ports import LOOPBACK

_CREATE, _DELETE = 30, 31
_VERSION = 1
_LITERAL = 3


class Resource(IntEnum):
    TOPIC = 2
    CLUSTER = 4


class Operation(IntEnum):
    ALL = 2
    WRITE = 4
    IDEMPOTENT_WRITE = 12


class Permission(IntEnum):
    DENY = 2
    ALLOW = 3


class Rule(NamedTuple):
    """What the user `service` may do, or not."""

    operation: Operation
    name: str = "*"
    """Of a topic; for the cluster `kafka-cluster`."""
    resource: Resource = Resource.TOPIC
    permission: Permission = Permission.ALLOW

    def packed(self) -> bytes:
        parts = struct.pack(">b", self.resource) + _text(self.name) + struct.pack(">b", _LITERAL)
        parts += _text("User:service") + _text("*")
        return parts + struct.pack(">bb", self.operation, self.permission)


EVERYTHING = (
    Rule(Operation.ALL),
    Rule(Operation.IDEMPOTENT_WRITE, "kafka-cluster", Resource.CLUSTER),
)


async def add_rules(port: int, *rules: Rule) -> None:
    """Returns once the broker has them. Fails the test where it refuses."""
    answer = await _ask(port, _CREATE, rules)
    codes = _codes(answer, len(rules))
    assert not any(codes), codes


async def remove_rules(port: int, *rules: Rule) -> None:
    await _ask(port, _DELETE, rules)


async def _ask(port: int, api: int, rules: tuple[Rule, ...]) -> bytes:
    request = struct.pack(">hhi", api, _VERSION, 1) + _text("tests")
    request += struct.pack(">i", len(rules)) + b"".join(rule.packed() for rule in rules)
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        writer.write(struct.pack(">i", len(request)) + request)
        (length,) = struct.unpack(">i", await reader.readexactly(4))
        return await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()


def _codes(answer: bytes, count: int) -> list[int]:
    """Of a CreateAcls answer: correlation id, throttle time, then code and message of each."""
    codes, at = [], 12
    for _ in range(count):
        code, length = struct.unpack_from(">hh", answer, at)
        codes.append(code)
        at += 4 + max(0, length)
    return codes


def _text(text: str) -> bytes:
    return struct.pack(">h", len(text)) + text.encode()
