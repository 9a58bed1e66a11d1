"""How an endpoint stands in the app and in its documentation.

An endpoint reads a `Request` and returns a `Response`: it costs what a plain Starlette route
costs, about half of one whose arguments FastAPI resolves. FastAPI documents it from the same
models that check its input and that its answers are tested against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.routing import request_response
from starlette.types import ASGIApp, Receive, Scope, Send

from pricing.access.role import Role
from pricing.api.http.authorization import Endpoint, guarded
from pricing.api.http.load_shedding import admitted, writable
from pricing.api.http.problems import (
    BODY_TOO_LARGE,
    FORBIDDEN,
    INTERNAL,
    INVALID_JSON,
    MEDIA_TYPE,
    READ_ONLY,
    SHED,
    SHUTTING_DOWN,
    UNAUTHENTICATED,
    UNSUPPORTED_MEDIA_TYPE,
    Kind,
)
from pricing.api.schemas.clients import DriverStatus, PriceBatch, ProblemDetails, RideRequest
from pricing.api.schemas.operators import ForceOpen, SetLevel
from pricing.mode.admission import Criticality

Responses = dict[int | str, dict[str, Any]]
"""OpenAPI response objects by status."""

BODY_PROBLEMS = (INVALID_JSON, BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE)

_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_SCHEMAS = "#/components/schemas/{model}"
# Models that no endpoint's signature shows to FastAPI.
_NAMED_MODELS: tuple[type[BaseModel], ...] = (
    ProblemDetails,
    PriceBatch,
    RideRequest,
    DriverStatus,
    SetLevel,
    ForceOpen,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What the documentation says of an endpoint."""

    method: str
    path: str
    operation_id: str
    tag: str
    summary: str
    description: str
    answer: type[BaseModel]
    example: Any
    status: int = 200
    problems: Sequence[Kind] = ()
    """Besides the 500 and 503 that every operation may give."""
    headers: Mapping[str, str] | None = None
    """Of the good answer: name to meaning."""
    parameters: Sequence[Mapping[str, Any]] = ()
    body: Mapping[str, Any] | None = None
    """The `requestBody`'s media type object: schema and examples."""
    is_body_required: bool = True
    other: Responses | None = None
    """Response objects of further statuses."""
    is_documented: bool = True
    role: Role | None = Role.CLIENT
    """Who may; None: everybody, also without a key."""
    criticality: Criticality = Criticality.CRITICAL_PLUS
    """What the mode leaves out first."""
    writes_database: bool = False
    """It is refused with a clear text while the database takes no writes."""


class _DirectRoute(APIRoute):
    """Documented by FastAPI, run by the endpoint alone."""

    def __init__(self, path: str, endpoint: Endpoint, **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = request_response(endpoint)


class Api(FastAPI):
    """An app whose documentation also holds the models that only references name.

    `edge` stands around all of it, the framework included, and passes on to `inside`.
    """

    edge: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self.edge or self.inside)(scope, receive, send)

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The app without its edge."""
        await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Make the framework's stack, without its own answer to a fault: that is the edge's."""
        stack = super().build_middleware_stack()
        return stack.app if isinstance(stack, ServerErrorMiddleware) else stack

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        _, named = models_json_schema(
            [(model, "validation") for model in _NAMED_MODELS], ref_template=_SCHEMAS
        )
        components = document.setdefault("components", {})
        components["securitySchemes"] = _SECURITY_SCHEMES
        schemas = components.setdefault("schemas", {})
        for name in sorted(named["$defs"]):
            schemas.setdefault(name, named["$defs"][name])
        return document


def add(app: FastAPI, endpoint: Endpoint, operation: Operation) -> None:
    """Serve `endpoint` as the operation says."""
    # The app's own router and not an included one, whose context costs as much as an endpoint.
    app.router.add_api_route(
        operation.path,
        _admitting(endpoint, operation),
        methods=[operation.method],
        operation_id=operation.operation_id,
        tags=[operation.tag],
        summary=operation.summary,
        description=operation.description,
        response_description=(operation.answer.__doc__ or operation.summary).splitlines()[0],
        status_code=operation.status,
        response_model=operation.answer,
        responses={
            operation.status: _good_answer(operation),
            **_problem_responses(_problems(operation)),
            **(operation.other or {}),
        },
        openapi_extra=_extra(operation) or None,
        include_in_schema=operation.is_documented,
        route_class_override=_DirectRoute,
    )


def _admitting(endpoint: Endpoint, operation: Operation) -> Endpoint:
    """The endpoint behind all that may keep a request from it, the key's role outermost."""
    if operation.criticality is not Criticality.CRITICAL_PLUS:
        endpoint = admitted(endpoint, operation.criticality)
    if operation.writes_database:
        endpoint = writable(endpoint)
    # Outermost: who may not call learns nothing of the mode, and takes no room of those who may.
    return endpoint if operation.role is None else guarded(endpoint, operation.role)


def _problems(operation: Operation) -> Sequence[Kind]:
    kinds = [*operation.problems, INTERNAL, SHUTTING_DOWN]
    if operation.criticality is not Criticality.CRITICAL_PLUS:
        kinds.append(SHED)
    if operation.writes_database:
        kinds.append(READ_ONLY)
    if operation.role is not None:
        kinds += [UNAUTHENTICATED, FORBIDDEN]
    return kinds


def _good_answer(operation: Operation) -> dict[str, Any]:
    """The OpenAPI response object of the answer without a problem."""
    good: dict[str, Any] = {"content": {"application/json": {"example": operation.example}}}
    if operation.headers:
        good["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}}
            for name, meaning in operation.headers.items()
        }
    return good


def _extra(operation: Operation) -> dict[str, Any]:
    """What FastAPI cannot tell of the operation, for its endpoint takes a bare request."""
    extra: dict[str, Any] = {}
    if operation.parameters:
        extra["parameters"] = list(operation.parameters)
    if operation.body is not None:
        content = {"application/json": operation.body}
        extra["requestBody"] = {"required": operation.is_body_required, "content": content}
    if operation.role is not None:
        extra["security"] = [{"bearer": []}, {"apiKey": []}, {}]
        extra["x-role"] = operation.role.value
    return extra


def add_page(app: FastAPI, path: str, endpoint: Endpoint, *, role: Role | None = None) -> None:
    """Serve something for people or machines that is no part of the documented API.

    `role`: who may; None: everybody.
    """
    if role is not None:
        endpoint = guarded(endpoint, role)
    app.router.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        openapi_extra=None if role is None else {"x-role": role.value},
        include_in_schema=False,
        response_model=None,
        route_class_override=_DirectRoute,
    )


def reference(model: type[BaseModel]) -> dict[str, str]:
    """The OpenAPI reference to a model's schema."""
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


def _problem_responses(kinds: Sequence[Kind]) -> Responses:
    responses: Responses = {}
    for kind in kinds:
        known = responses.get(kind.status)
        if known is not None:
            known["description"] += f". Or: {kind.title}"
            continue
        responses[kind.status] = {
            "description": kind.title,
            "content": {MEDIA_TYPE: {"schema": reference(ProblemDetails)}},
        }
    return responses
