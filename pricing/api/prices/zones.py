"""The catalogue of zones, page by page."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.paging import bad_cursor, decode_cursor, encode_cursor
from pricing.api.http.problems import INVALID_INPUT, UNKNOWN_ZONE, Problem
from pricing.api.http.request_parsing import ZONE_ID, parse_query, query_parameters
from pricing.api.http.responses import json_response
from pricing.api.http.routing import Operation, add
from pricing.api.prices.rendering import amount, factor
from pricing.api.schemas.clients import ZoneAnswer, ZoneAnswers, ZonePage
from pricing.model import Zone
from pricing.zones.catalogue import natural_key

_MAX_ID = 64
_EXAMPLE: dict[str, Any] = {
    "zone_id": "161",
    "name": "Midtown Center",
    "city_id": "nyc",
    "zone_class": "core",
    "base_fare": 9.0,
    "currency": "USD",
    "center": {"lat": 40.758028, "lon": -73.977698},
    "min_multiplier": 1.0,
    "max_multiplier": 3.0,
}


class _Zones:
    def __init__(self, dependencies: ApiDependencies) -> None:
        self._catalogue = dependencies.catalogue

    async def page(self, request: Request) -> Response:
        query = parse_query(ZonePage, request)
        zones = self._catalogue.zones
        start = 0
        if query.cursor is not None:
            start = bisect_right(
                zones,
                natural_key(_zone_id_of(query.cursor)),
                key=lambda zone: natural_key(zone.zone_id),
            )
        rest = [
            zone for zone in zones[start:] if query.city_id is None or zone.city_id == query.city_id
        ]
        page = rest[: query.limit]
        has_more = len(rest) > len(page)
        return json_response(
            {
                "data": [_zone_json(zone) for zone in page],
                "next": encode_cursor(page[-1].zone_id) if has_more else None,
            }
        )

    async def zone(self, request: Request) -> Response:
        zone = self._catalogue.zone(request.path_params["zone_id"])
        if zone is None:
            raise Problem(UNKNOWN_ZONE, "GET /api/v1/zones lists the zones.")
        return json_response({"data": _zone_json(zone)})


def _zone_json(zone: Zone) -> dict[str, Any]:
    return {
        "zone_id": zone.zone_id,
        "name": zone.name,
        "city_id": zone.city_id,
        "zone_class": zone.zone_class,
        "base_fare": amount(zone.base_fare_minor, zone.currency),
        "currency": zone.currency,
        "center": {"lat": zone.lat, "lon": zone.lon},
        "min_multiplier": factor(zone.min_multiplier_micro),
        "max_multiplier": factor(zone.max_multiplier_micro),
    }


def _zone_id_of(cursor: str) -> str:
    zone_id = decode_cursor(cursor)
    if not 1 <= len(zone_id) <= _MAX_ID:
        raise bad_cursor()
    return zone_id


def add_zones(app: FastAPI, dependencies: ApiDependencies) -> None:
    """Serve the list of zones and each zone."""
    zones = _Zones(dependencies)
    add(
        app,
        zones.page,
        Operation(
            method="GET",
            path="/api/v1/zones",
            operation_id="listZones",
            tag="zones",
            summary="Zones, page by page",
            description="In natural order of their ids. Follow `next` until it is null.",
            answer=ZoneAnswers,
            example={"data": [_EXAMPLE], "next": "MTYx"},
            problems=(INVALID_INPUT,),
            parameters=query_parameters(ZonePage),
        ),
    )
    add(
        app,
        zones.zone,
        Operation(
            method="GET",
            path="/api/v1/zones/{zone_id}",
            operation_id="getZone",
            tag="zones",
            summary="One zone",
            description="What the catalogue says of a zone; its price is at `/price`.",
            answer=ZoneAnswer,
            example={"data": _EXAMPLE},
            problems=(UNKNOWN_ZONE,),
            parameters=(ZONE_ID,),
        ),
    )
