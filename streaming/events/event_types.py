"""The events, as values. Pure: no I/O, no clock.

An `Event` is the envelope (CloudEvents 1.0); the `…V1` models are what it carries. Readers
ignore fields that they do not know, so that a producer may add some; writers send none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import uuid_utils
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

RIDE_REQUEST = "equilibrium.ride_request.v1"
DRIVER_STATUS = "equilibrium.driver_status.v1"
ZONE_PRICE = "equilibrium.zone_price.v1"
MODE_CHANGED = "equilibrium.mode_changed.v1"
AUDIT_RECORDED = "equilibrium.audit_recorded.v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event on its way: a CloudEvents envelope around a JSON object."""

    id: str
    """UUIDv7; a repeat carries the same one."""
    type: str
    source: str
    """URI reference of the producer, e.g. `/equilibrium/api`."""
    time_ms: int
    """When it happened (`ce_time`), epoch ms."""
    key: str
    """Record key: everything under one key stays in order."""
    subject: str | None = None
    data: Mapping[str, Any]
    traceparent: str | None = None
    """W3C trace context, passed on unread."""


def new_event_id() -> str:
    """A UUIDv7 in its canonical text form."""
    return str(uuid_utils.uuid7())


def derived_event_id(time_ms: int, identity: bytes) -> str:
    """A UUIDv7 that is the same for the same time and identity, so that readers drop a repeat.

    Its random bits are a digest of `identity`; `time_ms` is in epoch ms.
    """
    digest = int.from_bytes(hashlib.sha256(identity).digest()[:10], "big")
    number = (time_ms & (1 << 48) - 1) << 80 | digest
    number = number & ~(0xF << 76) | 0x7 << 76  # version 7
    number = number & ~(0x3 << 62) | 0x2 << 62  # RFC 9562 variant
    return str(UUID(int=number))


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds of an aware datetime, rounded down."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1000 + delta.microseconds // 1000


def rfc3339(epoch_ms: int) -> str:
    """`2026-01-02T03:04:05.678Z`: UTC, always with milliseconds."""
    seconds, ms = divmod(epoch_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{ms:03d}Z"


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Moment = Annotated[
    AwareDatetime,
    PlainSerializer(lambda moment: rfc3339(to_ms(moment)), return_type=str, when_used="json"),
]
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00]+$")]
"""No NUL: Postgres cannot hold it."""


class _Payload(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RideRequestV1(_Payload):
    """A rider asks for a ride. The zone is `zone_id`, or found from `lat` and `lon`."""

    request_id: Id
    city_id: Id
    zone_id: Id | None = None
    lat: float | None = Field(default=None, ge=-90, le=90)
    lon: float | None = Field(default=None, ge=-180, le=180)
    rider_id: Id | None = None
    product: Id | None = None
    occurred_at: Moment


class DriverStatusV1(_Payload):
    """A driver's heartbeat: where, and whether free for a ride."""

    driver_id: Id
    city_id: Id
    zone_id: Id | None = None
    lat: float | None = Field(default=None, ge=-90, le=90)
    lon: float | None = Field(default=None, ge=-180, le=180)
    available: bool
    occurred_at: Moment


class ZonePriceV1(_Payload):
    """The public price of a zone at one tick."""

    zone_id: Id
    city_id: Id
    multiplier: float
    raw_multiplier: float
    price: float
    currency: str
    demand_count: int
    supply_count: int
    confidence: float
    reasons: list[str]
    window_start: Moment
    window_end: Moment
    version: int
    """`window_end` in epoch ms: a newer price has a greater one."""
    policy_version: str


class ModeChangedV1(_Payload):
    """The system mode of one instance: after a change, and now and then although none came."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    instance: Id
    kind: str
    """`mode`, `computed`, `blind`, `sighted`, `flapping`, `steady`, or `heartbeat`."""
    old: str = Field(alias="from")
    """The level before; the same as `to` where it did not change."""
    new: str = Field(alias="to")
    mode: str
    """normal, degraded or emergency."""
    causes: list[dict[str, Any]]
    """Each `{input, value, threshold, level}`, the worst first."""
    inputs: dict[str, Any]
    """What every input showed."""
    override: dict[str, Any] | None = None
    since: Moment
    """Since when `to` has held."""
    occurred_at: Moment


class AuditRecordedV1(_Payload):
    """What an operator did."""

    actor: str
    action: str
    """From a small set, e.g. `mode.override.set`."""
    target: str
    before: Any = None
    after: Any = None
    reason: str | None = None
    instance: Id
    """The process that took the order."""
    request_id: str | None = None
    occurred_at: Moment
