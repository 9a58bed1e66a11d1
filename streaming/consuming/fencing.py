"""Whether another process took this one's place in the group.

aiokafka's heartbeats carry no instance id (version 1), so a member that was replaced is told
"unknown member", joins anew and throws out the other: two processes with one instance id then
take turns for ever. A heartbeat of version 3 gets the true answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.client import ConnectionGroup
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Int16, Int32, Schema, String

from streaming.translation import DRIVER_ERRORS

FENCED_INSTANCE_ID = 82
_API_KEY = 12


class _HeartbeatResponse(Response):
    API_KEY = _API_KEY
    API_VERSION = 3
    SCHEMA = Schema(("throttle_time_ms", Int32), ("error_code", Int16))


class _HeartbeatStruct(RequestStruct):
    API_KEY = _API_KEY
    API_VERSION = 3
    RESPONSE_TYPE = _HeartbeatResponse
    SCHEMA = Schema(
        ("group", String("utf-8")),
        ("generation_id", Int32),
        ("member_id", String("utf-8")),
        ("group_instance_id", String("utf-8")),
    )


class _Heartbeat(Request[_HeartbeatStruct]):
    API_KEY = _API_KEY

    def __init__(self, *fields: str | int) -> None:
        self._fields = fields

    def build(self, request_struct_class: type[_HeartbeatStruct]) -> _HeartbeatStruct:
        return request_struct_class(*self._fields)


def member_id(consumer: AIOKafkaConsumer) -> str:
    """The id that the group gave this member; empty once the group does not know it."""
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - no public way to know
    return str(coordinator.member_id)


async def is_replaced(
    consumer: AIOKafkaConsumer, *, group_id: str, instance_id: str, member: str, timeout_s: float
) -> bool:
    """Whether another member holds our instance id. False where the broker does not tell."""
    coordinator: Any = consumer._coordinator  # noqa: SLF001 - the group's node is known only here
    request = _Heartbeat(group_id, 0, member, instance_id)
    try:
        async with asyncio.timeout(timeout_s):
            await coordinator.ensure_coordinator_known()
            answer = await consumer._client.send(  # noqa: SLF001 - the same
                coordinator.coordinator_id, request, group=ConnectionGroup.COORDINATION
            )
    except (*DRIVER_ERRORS, NotImplementedError):  # the broker has no version 3
        return False
    return bool(answer.error_code == FENCED_INSTANCE_ID)
