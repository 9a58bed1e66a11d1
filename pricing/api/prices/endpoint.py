"""Prices: of one zone, of the zone at a place, of many zones."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.problems import INVALID_INPUT, OUTSIDE_ZONES, UNKNOWN_ZONE, Problem
from pricing.api.http.raw_response import LinesResponse
from pricing.api.http.request_parsing import (
    ZONE_ID,
    json_text,
    parse,
    parse_query,
    query_parameters,
)
from pricing.api.http.responses import NO_STORE
from pricing.api.http.routing import BODY_PROBLEMS, Operation, Responses, add, reference
from pricing.api.prices.fast_path import PATH
from pricing.api.prices.reader import PriceReader
from pricing.api.prices.rendering import to_response
from pricing.api.schemas.clients import (
    MAX_BATCH,
    PRICE_BATCH,
    Place,
    PriceAnswer,
    PriceAnswers,
    PriceBatch,
)
from pricing.mode.policy import ModePolicy
from pricing.model import Zone

_EXAMPLE: dict[str, Any] = {
    "data": {
        "zone_id": "161",
        "zone_name": "Midtown Center",
        "base_fare": 9.0,
        "surge_multiplier": 1.25,
        "price": 11.25,
        "currency": "USD",
        "supply_count": 10,
        "demand_count": 20,
        "confidence": 1.0,
        "policy_version": "nyc-430d2842a1ff",
        "reasons": ["demand_exceeds_supply"],
    },
    "source": "redis",
    "freshness": "real-time",
    "timestamp": "2026-01-02T03:04:05.000Z",
    "age_ms": 2140,
    "mode": "normal",
}
_UNKNOWN = {
    "type": UNKNOWN_ZONE.type,
    "title": UNKNOWN_ZONE.title,
    "status": UNKNOWN_ZONE.status,
}
_CACHING = {
    "Age": "Age of the data in seconds.",
    "Cache-Control": "One tick for a live price; no-store for a default fare.",
    "Cache-Status": "Which of the service's caches answered (RFC 9211).",
    "ETag": "Weak: the same state of the zone, at another age. Absent for a default fare.",
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the answer that the client holds.",
    "schema": {"type": "string"},
}
_ALWAYS = (
    "Every known zone gets a price, whatever is down: `source`, `age_ms` and `confidence` say "
    "how good it is."
)


class _Prices:
    def __init__(self, parts: ApiDependencies, reader: PriceReader) -> None:
        self._catalogue = parts.catalogue
        self._locator = parts.locator
        self._reader = reader

    async def of_zone(self, request: Request) -> Response:
        zone = self._catalogue.zone(request.path_params["zone_id"])
        if zone is None:
            raise Problem(UNKNOWN_ZONE, "GET /api/v1/zones lists the zones.")
        return await self._priced(request, zone)

    async def at_place(self, request: Request) -> Response:
        place = parse_query(Place, request)
        zone = self._locator.locate(place.lat, place.lon)
        if zone is None:
            raise Problem(OUTSIDE_ZONES, "The place lies outside every zone.")
        return await self._priced(request, zone)

    async def of_zones(self, request: Request) -> Response:
        zone_ids = parse(PRICE_BATCH, await json_text(request)).zone_ids
        zones = map(self._catalogue.zone, dict.fromkeys(zone_ids))
        policy: ModePolicy = request.state.policy
        bodies = await self._reader.read_many([zone for zone in zones if zone], policy)
        data = b",".join([bodies.get(zone_id) or _unknown(zone_id) for zone_id in zone_ids])
        content = b'{"data":[%b],"mode":%b}' % (data, orjson.dumps(policy.mode))
        return Response(content, headers=NO_STORE, media_type="application/json")

    async def _priced(self, request: Request, zone: Zone) -> Response:
        price = await self._reader.read(zone, request.state.policy)
        return LinesResponse(*to_response(price, request.headers.get("if-none-match", "")))


def _unknown(zone_id: str) -> bytes:
    return orjson.dumps({"zone_id": zone_id, "error": _UNKNOWN})


_NOT_MODIFIED: Responses = {304: {"description": "The state is the one of `If-None-Match`."}}
_OF_ZONE = Operation(
    method="GET",
    path=PATH,
    operation_id="getZonePrice",
    tag="prices",
    summary="Price of a zone",
    description=_ALWAYS,
    answer=PriceAnswer,
    example=_EXAMPLE,
    headers=_CACHING,
    problems=(UNKNOWN_ZONE,),
    parameters=(ZONE_ID, _IF_NONE_MATCH),
    other=_NOT_MODIFIED,
)
_AT_PLACE = Operation(
    method="GET",
    path="/api/v1/price",
    operation_id="getPriceAtPlace",
    tag="prices",
    summary="Price at a place",
    description=f"The price of the zone that the place lies in. {_ALWAYS}",
    answer=PriceAnswer,
    example=_EXAMPLE,
    headers=_CACHING,
    problems=(OUTSIDE_ZONES, INVALID_INPUT),
    parameters=(*query_parameters(Place), _IF_NONE_MATCH),
    other=_NOT_MODIFIED,
)
_OF_ZONES = Operation(
    method="POST",
    path="/api/v1/prices",
    operation_id="getPrices",
    tag="prices",
    summary=f"Prices of up to {MAX_BATCH} zones",
    description="One answer per id, in the order asked; 200 also when some are unknown.",
    answer=PriceAnswers,
    example={
        "data": [_EXAMPLE, {"zone_id": "nowhere", "error": _UNKNOWN}],
        "mode": "normal",
    },
    problems=(*BODY_PROBLEMS, INVALID_INPUT),
    body={
        "schema": reference(PriceBatch),
        "example": {"zone_ids": ["161", "nowhere"]},
    },
)


def add_prices(app: FastAPI, parts: ApiDependencies, reader: PriceReader) -> None:
    prices = _Prices(parts, reader)
    add(app, prices.of_zone, _OF_ZONE)
    add(app, prices.at_place, _AT_PLACE)
    add(app, prices.of_zones, _OF_ZONES)
