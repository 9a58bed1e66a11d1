"""The JSON of the HTTP API as models: they check what is read and document all of it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
)

from fallback.breaker import State
from pricing.api.schemas.base import HealthWord, Input, ModeWord, Output, Query
from pricing.health.passive import Status
from pricing.model import Freshness, Source
from pricing.reading.answer import FallbackReason

MAX_BATCH = 500
"""Zones of one batch read, events of one ingest request, zones of one page."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _in_rfc3339(value: object) -> object:
    # The type alone would also take a number of seconds, or one written as text.
    if not (isinstance(value, str) and _RFC3339.fullmatch(value)):
        raise ValueError("must be a time as in RFC 3339, with an offset: 2026-01-02T03:04:05Z")
    return value


Moment = Annotated[
    AwareDatetime,
    Field(strict=False),
    BeforeValidator(_in_rfc3339),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
# No control characters: they hide in logs, and Postgres' text cannot hold a NUL.
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]


def _placed(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"required": ["zone_id"]}, {"required": ["lat", "lon"]}]


class Placed(Input):
    """Something that happened somewhere, some time ago."""

    model_config = ConfigDict(json_schema_extra=_placed)

    zone_id: Name | None = Field(None, description="Either this, or `lat` and `lon`.")
    lat: Latitude | None = None
    lon: Longitude | None = None
    occurred_at: Moment | None = Field(
        None, description="Default: now. At most 1 h old and 5 s ahead."
    )


class RideRequest(Placed):
    """A rider asks for a ride."""

    request_id: Name | None = Field(
        None, description="Names the request; the same one counts once. Default: the event's id."
    )
    rider_id: Name | None = None
    product: Name | None = None


class DriverStatus(Placed):
    """A driver's heartbeat: where, and whether free for a ride."""

    driver_id: Name
    available: bool


class PriceBatch(Input):
    zone_ids: list[Name] = Field(max_length=MAX_BATCH)


class Place(Query):
    """A place in degrees (WGS 84), from a query string: so numbers come as text."""

    lat: Latitude = Field(description="Degrees north.", examples=[40.758])
    lon: Longitude = Field(description="Degrees east.", examples=[-73.978])


class ZonePage(Query):
    """Which zones to list."""

    limit: int = Field(100, ge=1, le=MAX_BATCH)
    cursor: str | None = Field(None, max_length=512, description="`next` of the page before.")
    city_id: str | None = Field(None, max_length=64, description="Only zones of this city.")


class PriceData(Output):
    zone_id: str
    zone_name: str
    base_fare: float = Field(description="Price of a typical ride from here at multiplier 1.0.")
    surge_multiplier: float
    price: float = Field(description="`base_fare` times `surge_multiplier`, rounded half up.")
    currency: str = Field(description="ISO 4217.")
    supply_count: int
    demand_count: int
    confidence: float = Field(ge=0.1, le=1, description="Falls with age; 0.1 for a default fare.")
    policy_version: str | None = Field(description="Null for a default fare.")
    reasons: list[str] = Field(description="Why the multiplier is what it is.")


class PriceAnswer(Output):
    """A zone's price: where it came from, how old it is and how far to trust it."""

    data: PriceData
    source: Source
    freshness: Freshness = Field(
        description="By age: real-time up to 3 ticks, stale up to 5 min, very_stale beyond."
    )
    timestamp: datetime = Field(
        description="When the data was true (UTC); for a default fare, the time of the answer."
    )
    age_ms: int = Field(ge=0, description="Age of the data; 0 for a default fare.")
    mode: ModeWord
    fallback_reason: FallbackReason | None = Field(
        None, description="Why the price does not come from Redis; absent when it does."
    )
    warning: str | None = Field(None, description="For people; absent when all is well.")


class BatchError(Output):
    type: str
    title: str
    status: int


class UnknownZone(Output):
    """In a batch, the place of a zone that does not exist."""

    zone_id: str
    error: BatchError


class PriceAnswers(Output):
    """Prices in the order asked, with an error in the place of an unknown zone."""

    data: list[PriceAnswer | UnknownZone] = Field(description="In the order asked.")
    mode: ModeWord


class Center(Output):
    lat: float
    lon: float


class ZoneOut(Output):
    """A piece of a city that has one price."""

    zone_id: str
    name: str
    city_id: str
    zone_class: str
    base_fare: float
    currency: str
    center: Center
    min_multiplier: float
    max_multiplier: float


class ZoneAnswer(Output):
    """One zone of the catalogue."""

    data: ZoneOut


class ZoneAnswers(Output):
    """A page of zones."""

    data: list[ZoneOut]
    next: str | None = Field(description="Cursor of the next page; null on the last one.")


class TakenEvent(Output):
    id: str = Field(description="UUIDv7; a repeat of the event carries the same one.")
    status: Literal["sent", "buffered"] = Field(
        description="`sent`: Kafka has it. `buffered`: it is durable here and will be sent."
    )


class TakenEvents(Output):
    """Every event of the request is durable, and has an id."""

    data: list[TakenEvent] = Field(description="In the order given.")


class ServiceOut(Output):
    status: Status
    state: State = Field(description="Of the circuit breaker.")
    failures: int = Field(description="Among the last calls, as `successes`.")
    successes: int
    failureRate: float = Field(ge=0, le=1)  # noqa: N815 # the contract's name
    last_state_change: datetime | None


class Services(Output):
    redis: ServiceOut
    database: ServiceOut
    kafka: ServiceOut


class FallbackData(Output):
    stale_zones: int = Field(description="Zones whose last known price is in memory.")
    default_fares: int = Field(description="Zones with a default fare.")


class Health(Output):
    """What this process can do now, and how its dependencies looked when last called."""

    status: HealthWord
    mode: ModeWord
    timestamp: datetime
    services: Services
    fallbackData: FallbackData  # noqa: N815 # the contract's name
    message: str


class Live(Output):
    """The event loop responds."""

    status: Literal["live"]


class Ready(Output):
    """This process takes requests."""

    status: Literal["ready"]
    reasons: list[str] = Field(description="Empty: nothing speaks against readiness.")


class FieldFault(Output):
    pointer: str = Field(description="Where (RFC 6901), e.g. `/1/zone_id`; empty: the whole.")
    message: str


class ProblemDetails(Output):
    """An error answer (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[FieldFault] | None = Field(None, description="Faults of the input, up to 20.")


RIDE_REQUEST = TypeAdapter(RideRequest)
RIDE_REQUESTS: TypeAdapter[list[RideRequest]] = TypeAdapter(
    Annotated[list[RideRequest], Field(max_length=MAX_BATCH)]
)
DRIVER_STATUS = TypeAdapter(DriverStatus)
DRIVER_STATUSES: TypeAdapter[list[DriverStatus]] = TypeAdapter(
    Annotated[list[DriverStatus], Field(max_length=MAX_BATCH)]
)
PRICE_BATCH = TypeAdapter(PriceBatch)
