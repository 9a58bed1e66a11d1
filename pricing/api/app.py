"""The HTTP API as one ASGI app. Making it opens nothing and reaches no dependency."""

from __future__ import annotations

from collections.abc import Sequence

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
from pricing.api.operators.routes import add_operators
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
    {"name": "operators", "description": "Steer and look back. Every action is kept in the audit."},
    {
        "name": "health",
        "description": "Probes, without a key; details for operators.",
    },
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


def create_app(dependencies: ApiDependencies) -> FastAPI:
    """The app over these dependencies, which their maker closes after the app's last request."""
    app = _bare_app()
    app.state.gate = dependencies.gate
    app.state.admission = Admission()
    app.state.is_read_only = lambda: dependencies.system.is_read_only
    prices = PriceReader(dependencies.ladder, dependencies.metrics.reads)
    add_prices(app, dependencies, prices)
    for add_room in _ROOMS:
        add_room(app, dependencies)
    _add_pages(app, dependencies)
    # The one added last stands outermost: a page of another origin may read a 413 too.
    app.add_middleware(BodyLimit, max_body_bytes=dependencies.config.max_body_bytes)
    if dependencies.config.cors_origins:
        _allow_origins(app, dependencies.config.cors_origins)
    app.edge = RequestEdge(app.inside, dependencies, PriceFastPath(dependencies, prices))
    return app


_ROOMS = (
    add_zones,
    add_events,
    add_system,
    add_operators,
    add_health,
    add_dlq_health,
    add_detailed_health,
)
"""Each adds its routes; their order is the documentation's."""


def _bare_app() -> Api:
    return Api(
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


def _allow_origins(app: FastAPI, origins: Sequence[str]) -> None:
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
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


def _add_pages(app: FastAPI, dependencies: ApiDependencies) -> None:
    async def metrics(request: Request) -> Response:
        encode, media_type = exposition.choose_encoder(request.headers.get("accept", ""))
        content = encode(dependencies.metrics.registry)
        return Response(content, headers={"Content-Type": media_type})

    async def docs(_request: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY}
        return HTMLResponse(reference_page(app.openapi()), headers=headers)

    add_page(app, "/metrics", metrics)
    add_page(app, "/docs", docs)


def _problem_list() -> str:
    return "\n".join(f"* `{kind.type}` ({kind.status}): {kind.title}" for kind in KINDS)
