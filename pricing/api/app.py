"""The HTTP API as one ASGI app. Making it opens nothing and reaches no dependency."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import exposition
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

import pricing
from pricing.api.health.dead_letters import add_dlq_health
from pricing.api.health.detailed import add_detailed_health
from pricing.api.health.probes import add_health
from pricing.api.health.system import add_system
from pricing.api.http.dependencies import ApiConfig, ApiDependencies
from pricing.api.http.problems import KINDS, Problem, on_http_exception, on_problem
from pricing.api.http.reference_page import POLICY, reference_page
from pricing.api.http.routing import Api, add_page
from pricing.api.ingest.events import add_events
from pricing.api.middleware import BodyLimit, RequestEdge
from pricing.api.operators.routes import add_admin
from pricing.api.prices.endpoint import add_prices
from pricing.api.prices.fast_path import PriceFastPath
from pricing.api.prices.reader import PriceReader
from pricing.api.prices.zones import add_zones
from pricing.drain import Drain
from pricing.mode.admission import Admission

__all__ = ["ApiConfig", "ApiDependencies", "Drain", "create_app"]

_DESCRIPTION = """
Surge prices by zone, and the events that they are made of.

Every known zone gets a price, whatever is down: `source`, `age_ms` and `confidence` say how
good it is. Every answer carries `X-Request-ID` (the client's own, if it sent one),
`X-System-Mode` and `X-System-Degraded`; `X-Cache-Status` and `X-Database-Status` hold the
states of the circuit breakers.

Errors are problem details (RFC 9457). `type` is one of:

"""
_TAGS = [
    {"name": "prices", "description": "What a ride from a zone costs now."},
    {"name": "zones", "description": "The pieces of a city that have one price each."},
    {"name": "events", "description": "What happens in the city, on its way to Kafka."},
    {"name": "system", "description": "How well the service is, and why."},
    {"name": "operators", "description": "Steer and look back. Every act is kept in the audit."},
    {"name": "health", "description": "For load balancers and people. No key needed."},
]
_EXPOSED = (
    "Age",
    "Cache-Status",
    "ETag",
    "Retry-After",
    "X-Cache-Status",
    "X-Database-Status",
    "X-Request-ID",
    "X-System-Degraded",
    "X-System-Mode",
)


def create_app(parts: ApiDependencies) -> FastAPI:
    """The app over these parts. Who made the parts closes them, after the app's last request."""
    app = Api(
        title="Equilibrium",
        version=pricing.__version__,
        summary="Surge pricing that keeps answering",
        description=_DESCRIPTION + _problem_list(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=_TAGS,
        servers=[{"url": "/"}],
        docs_url=None,
        redoc_url=None,
        # An address is what is documented; a redirect would hide a client's mistake.
        redirect_slashes=False,
        exception_handlers={Problem: on_problem, HTTPException: on_http_exception},
    )
    app.state.gate = parts.gate
    app.state.admission = Admission()
    app.state.is_read_only = lambda: parts.system is not None and parts.system.is_read_only
    reader = PriceReader(parts.ladder, parts.metrics.reads)
    add_prices(app, parts, reader)
    add_zones(app, parts)
    add_events(app, parts)
    add_system(app, parts)
    add_admin(app, parts)
    add_health(app, parts)
    add_dlq_health(app, parts)
    add_detailed_health(app, parts)
    _add_pages(app, parts)
    # The one added last stands outermost.
    app.add_middleware(BodyLimit, max_body_bytes=parts.config.max_body_bytes)
    if parts.config.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=parts.config.cors_origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=(
                "Authorization",
                "Idempotency-Key",
                "If-Match",
                "X-API-Key",
                "X-Request-ID",
            ),
            expose_headers=_EXPOSED,
        )
    app.edge = RequestEdge(app.inside, parts, PriceFastPath(parts, reader))
    return app


def _add_pages(app: FastAPI, parts: ApiDependencies) -> None:
    async def metrics(request: Request) -> Response:
        encode, media_type = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(encode(parts.metrics.registry), headers={"Content-Type": media_type})

    async def docs(_request: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY}
        return HTMLResponse(reference_page(app.openapi()), headers=headers)

    add_page(app, "/metrics", metrics)
    add_page(app, "/docs", docs)


def _problem_list() -> str:
    return "\n".join(f"* `{kind.type}` ({kind.status}): {kind.title}" for kind in KINDS)
