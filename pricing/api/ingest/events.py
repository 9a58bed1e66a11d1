"""Ingest: ride requests and drivers' heartbeats become events, all of a request or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
import structlog
from fastapi import FastAPI
from pydantic import BaseModel, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from pricing.access.role import Role
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.problems import (
    BUSY,
    EVENTS_NOT_TAKEN,
    INVALID_INPUT,
    INVALID_KEY,
    KEY_REUSED,
    FieldError,
    Problem,
    invalid_input,
)
from pricing.api.http.request_parsing import json_text, parse
from pricing.api.http.routing import BODY_PROBLEMS, Operation, add, reference
from pricing.api.ingest.idempotency_key import HEADER, PARAMETER, once
from pricing.api.schemas.clients import (
    DRIVER_STATUS,
    DRIVER_STATUSES,
    MAX_BATCH,
    RIDE_REQUEST,
    RIDE_REQUESTS,
    DriverStatus,
    Placed,
    RideRequest,
    TakenEvents,
)
from pricing.errors import DependencyError
from pricing.model import Zone
from pricing.writing.idempotency import Begun
from streaming import topics
from streaming.events.event_types import DRIVER_STATUS as DRIVER_STATUS_TYPE
from streaming.events.event_types import RIDE_REQUEST as RIDE_REQUEST_TYPE
from streaming.events.event_types import Event, new_event_id, rfc3339, to_ms
from streaming.events.trace import traceparent_to_send

_log = structlog.get_logger(__name__)

SOURCE = "/equilibrium/api"
MAX_AGE_MS = 3_600_000
"""Far beyond the windows of the surge, which are minutes long."""
MAX_AHEAD_MS = 5_000
"""How far a client's clock may go ahead of this machine's."""
RETRY_AFTER_S = 5


_Item = TypeVar("_Item", bound=Placed)


@dataclass(frozen=True, slots=True)
class _EventKind(Generic[_Item]):
    """What differs between ride requests and heartbeats."""

    topic: str
    type: str
    single: TypeAdapter[_Item]
    batch: TypeAdapter[list[_Item]]
    fields: Callable[[_Item, str], Mapping[str, Any]]
    """The item's own fields of the event, given the event's id."""


def _ride_request_fields(item: RideRequest, event_id: str) -> Mapping[str, Any]:
    fields = {"request_id": item.request_id or event_id}
    if item.rider_id is not None:
        fields["rider_id"] = item.rider_id
    if item.product is not None:
        fields["product"] = item.product
    return fields


def _driver_status_fields(item: DriverStatus, _event_id: str) -> Mapping[str, Any]:
    return {"driver_id": item.driver_id, "available": item.available}


_RIDE_REQUESTS = _EventKind(
    topics.RIDE_REQUESTS, RIDE_REQUEST_TYPE, RIDE_REQUEST, RIDE_REQUESTS, _ride_request_fields
)
_DRIVER_STATUS = _EventKind(
    topics.DRIVER_STATUS, DRIVER_STATUS_TYPE, DRIVER_STATUS, DRIVER_STATUSES, _driver_status_fields
)


class _Ingest(Generic[_Item]):
    def __init__(self, dependencies: ApiDependencies, kind: _EventKind[_Item]) -> None:
        self._dependencies = dependencies
        self._kind = kind

    async def ingest(self, request: Request) -> Response:
        text = await json_text(request)
        is_array = text.lstrip()[:1] == b"["
        items = parse(self._kind.batch, text) if is_array else [parse(self._kind.single, text)]
        traceparent = traceparent_to_send(request.headers.get("traceparent"))

        async def publish(begun: Begun | None = None) -> bytes:
            events = self._events(items, is_array=is_array, traceparent=traceparent, begun=begun)
            return await self._publish(events)

        key = request.headers.get(HEADER)
        if key is None:
            answer = await publish()
        else:
            meaning = b"".join(item.model_dump_json().encode() for item in items)
            answer = await once(
                self._dependencies.idempotency,
                key,
                scope=self._kind.topic,
                meaning=meaning,
                work=publish,
            )
        return Response(answer, 202, media_type="application/json")

    def _events(
        self,
        items: Sequence[_Item],
        *,
        is_array: bool,
        traceparent: str | None,
        begun: Begun | None,
    ) -> list[Event]:
        """One event per item. Raises `Problem` that lists what is wrong with any of them.

        `begun`, of a request with a key, gives ids and time: a repeat makes the same events.
        """
        now_ms = self._dependencies.now_ms()
        first_ms = now_ms if begun is None else begun.first_ms
        events: list[Event] = []
        errors: list[FieldError] = []
        for index, item in enumerate(items):
            zone, faults = self._check(item, now_ms)
            prefix = f"/{index}" if is_array else ""
            errors += [FieldError(prefix + fault.pointer, fault.message) for fault in faults]
            if zone is not None and not faults:
                event_id = new_event_id() if begun is None else begun.event_id(index)
                events.append(self._event(item, zone, event_id, first_ms, traceparent))
        if errors:
            raise invalid_input(errors)
        return events

    def _check(self, item: _Item, now_ms: int) -> tuple[Zone | None, list[FieldError]]:
        zone = self._place(item)
        faults = [zone] if isinstance(zone, FieldError) else []
        if item.occurred_at is not None:
            age_ms = now_ms - to_ms(item.occurred_at)
            if age_ms > MAX_AGE_MS:
                faults.append(FieldError("/occurred_at", "is more than 1 h ago"))
            elif age_ms < -MAX_AHEAD_MS:
                faults.append(FieldError("/occurred_at", "is more than 5 s ahead"))
        return None if isinstance(zone, FieldError) else zone, faults

    def _place(self, item: _Item) -> Zone | FieldError:
        lat, lon = item.lat, item.lon
        if item.zone_id is not None:
            if lat is not None or lon is not None:
                return FieldError("/zone_id", "give either this, or lat and lon")
            zone = self._dependencies.catalogue.zone(item.zone_id)
            return zone or FieldError("/zone_id", "no zone has this id")
        if lat is None and lon is None:
            return FieldError("/zone_id", "is missing; give it, or lat and lon")
        if lat is None or lon is None:
            missing, given = ("lat", "lon") if lat is None else ("lon", "lat")
            return FieldError(f"/{missing}", f"is missing beside {given}")
        return self._dependencies.locator.locate(lat, lon) or FieldError(
            "/lat", "the place lies outside every zone"
        )

    def _event(
        self, item: _Item, zone: Zone, event_id: str, now_ms: int, traceparent: str | None
    ) -> Event:
        occurred_ms = now_ms if item.occurred_at is None else to_ms(item.occurred_at)
        return Event(
            id=event_id,
            type=self._kind.type,
            source=SOURCE,
            time_ms=occurred_ms,
            key=zone.city_id,
            subject=zone.zone_id,
            data={
                **self._kind.fields(item, event_id),
                "city_id": zone.city_id,
                "zone_id": zone.zone_id,
                "occurred_at": rfc3339(occurred_ms),
            },
            traceparent=traceparent,
        )

    async def _publish(self, events: Sequence[Event]) -> bytes:
        """The answer's body once every event is durable. Raises `Problem` where it cannot be."""
        topic, metrics = self._kind.topic, self._dependencies.metrics
        if not events:
            return orjson.dumps({"data": []})
        try:
            receipts = await self._dependencies.publisher.publish(topic, events)
        except DependencyError as error:
            metrics.ingest.published(topic, "failed", len(events))
            _log.warning("events refused", topic=topic, events=len(events), reason=error.reason)
            raise Problem(
                EVENTS_NOT_TAKEN,
                "None of the events is known to be stored; send them again.",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            ) from error
        for receipt in receipts:
            metrics.ingest.published(topic, receipt.status)
        return orjson.dumps(
            {"data": [{"id": receipt.event_id, "status": receipt.status} for receipt in receipts]}
        )


def _operation(
    name: str, operation_id: str, summary: str, model: type[BaseModel], example: Any
) -> Operation:
    return Operation(
        method="POST",
        path=f"/api/v1/events/{name}",
        operation_id=operation_id,
        tag="events",
        summary=summary,
        description=(
            f"One event, or an array of up to {MAX_BATCH}: taken whole or refused whole. "
            "An accepted event is durable; it carries an id by which a repeat can be dropped. "
            "With an `Idempotency-Key`, the same key and body returns the same ids: for up to a "
            "day, at the same process and also after its restart."
        ),
        answer=TakenEvents,
        example={"data": [{"id": "01936b0e-6d3c-7cc2-8a5f-3d2c1b0a9f8e", "status": "sent"}]},
        status=202,
        role=Role.PRODUCER,
        problems=(*BODY_PROBLEMS, INVALID_KEY, KEY_REUSED, INVALID_INPUT, BUSY, EVENTS_NOT_TAKEN),
        parameters=(PARAMETER,),
        body={
            "schema": {
                "oneOf": [
                    reference(model),
                    {"type": "array", "maxItems": MAX_BATCH, "items": reference(model)},
                ]
            },
            "examples": {"one": {"value": example}, "several": {"value": [example, example]}},
        },
    )


def add_events(app: FastAPI, dependencies: ApiDependencies) -> None:
    """Serve the two routes that take events in."""
    add(
        app,
        _Ingest(dependencies, _RIDE_REQUESTS).ingest,
        _operation(
            "ride-requests",
            "postRideRequests",
            "Take in ride requests",
            RideRequest,
            {"request_id": "r-42", "zone_id": "161", "rider_id": "u-7"},
        ),
    )
    add(
        app,
        _Ingest(dependencies, _DRIVER_STATUS).ingest,
        _operation(
            "driver-status",
            "postDriverStatus",
            "Take in drivers' heartbeats",
            DriverStatus,
            {"driver_id": "d-7", "lat": 40.758, "lon": -73.978, "available": True},
        ),
    )
