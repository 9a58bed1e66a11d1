"""Every error answer: RFC 9457 problem details, from one table of kinds.

A problem never carries an exception's text: `detail` is written here or by the endpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Match

MEDIA_TYPE = "application/problem+json"

MAX_ERRORS = 20
"""How many faults of one request are listed; `detail` tells how many there are."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: `type` is its name for programs, `title` for people."""

    name: str
    status: int
    title: str

    @property
    def type(self) -> str:
        return f"urn:equilibrium:problem:{self.name}"


INVALID_JSON = Kind("invalid-json", 400, "The body is not JSON")
INVALID_KEY = Kind("invalid-idempotency-key", 400, "The Idempotency-Key cannot be used")
UNAUTHENTICATED = Kind("unauthenticated", 401, "Missing or invalid API key")
FORBIDDEN = Kind("forbidden", 403, "The key's role does not allow this")
NOT_FOUND = Kind("not-found", 404, "There is nothing at this address")
UNKNOWN_ZONE = Kind("unknown-zone", 404, "No zone has this id")
OUTSIDE_ZONES = Kind("outside-zones", 404, "No zone is at this place")
UNKNOWN_BREAKER = Kind("unknown-breaker", 404, "No circuit breaker has this name")
UNKNOWN_LETTER = Kind("unknown-dead-letter", 404, "No dead letter has this id")
METHOD_NOT_ALLOWED = Kind("method-not-allowed", 405, "The address does not take this method")
FORCE_NEEDED = Kind("force-needed", 409, "The level is better than what the inputs say")
KEY_REUSED = Kind("idempotency-key-reused", 409, "The Idempotency-Key came with another body")
CHANGED_MEANWHILE = Kind("changed-meanwhile", 412, "Somebody else changed it meanwhile")
BODY_TOO_LARGE = Kind("body-too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE = Kind("unsupported-media-type", 415, "The body must be sent as JSON")
INVALID_INPUT = Kind("invalid-input", 422, "The request has wrong or missing values")
INTERNAL = Kind("internal-error", 500, "Something is wrong on our side")
DEAD_LETTERS_UNAVAILABLE = Kind(
    "dead-letters-unavailable", 503, "The dead letters cannot be reached at the moment"
)
EVENTS_NOT_TAKEN = Kind("events-not-taken", 503, "Events cannot be taken at the moment")
BUSY = Kind("busy", 503, "Too many such requests are under way")
SHED = Kind("shed", 503, "Such requests are not taken in this mode")
READ_ONLY = Kind("read-only", 503, "The system is in read-only mode")
NOT_READY = Kind("not-ready", 503, "This process is not ready")
SHUTTING_DOWN = Kind("shutting-down", 503, "This process is ending")

KINDS = (
    INVALID_JSON,
    INVALID_KEY,
    UNAUTHENTICATED,
    FORBIDDEN,
    NOT_FOUND,
    UNKNOWN_ZONE,
    OUTSIDE_ZONES,
    UNKNOWN_BREAKER,
    UNKNOWN_LETTER,
    METHOD_NOT_ALLOWED,
    FORCE_NEEDED,
    KEY_REUSED,
    CHANGED_MEANWHILE,
    BODY_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID_INPUT,
    INTERNAL,
    DEAD_LETTERS_UNAVAILABLE,
    EVENTS_NOT_TAKEN,
    BUSY,
    SHED,
    READ_ONLY,
    NOT_READY,
    SHUTTING_DOWN,
)

_GENERAL = {404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 413: BODY_TOO_LARGE}


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of a request: where (RFC 6901; the parameter's name for a query) and what."""

    pointer: str
    message: str


class Problem(Exception):
    """Ends a request with an error answer."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(kind.name)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers
        self.extra = extra or {}


def invalid_input(errors: Sequence[FieldError]) -> Problem:
    """The 422 for these faults; the first ones are listed."""
    first = errors[0]
    detail = f"{first.pointer or 'the body'}: {first.message}"
    if len(errors) > 1:
        detail += f" ({len(errors)} faults in all)"
    return Problem(INVALID_INPUT, detail, errors=errors[:MAX_ERRORS])


def from_validation(error: ValidationError) -> Problem:
    """The problem that a model's refusal is: 400 if the text was no JSON at all, else 422."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return Problem(INVALID_JSON, "The body cannot be read as JSON.")
    return invalid_input(
        [
            FieldError(_pointer(detail["loc"]), detail["msg"].removeprefix("Value error, "))
            for detail in details
        ]
    )


def respond(conn: HTTPConnection, problem: Problem) -> Response:
    """The answer to send for a problem."""
    kind = problem.kind
    content: dict[str, Any] = {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": problem.detail,
        "instance": quote(conn.scope["path"]),
        "request_id": conn.scope.get("state", {}).get("request_id"),
        **problem.extra,
    }
    if problem.errors:
        content["errors"] = [
            {"pointer": error.pointer, "message": error.message} for error in problem.errors
        ]
    return Response(
        orjson.dumps(content), kind.status, headers=problem.headers, media_type=MEDIA_TYPE
    )


async def on_problem(request: Request, error: Exception) -> Response:
    """Answer a request that an endpoint ended with a problem."""
    if not isinstance(error, Problem):
        raise error
    return respond(request, error)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer an error of the framework, as an unknown path or a wrong method, as a problem."""
    if not isinstance(error, HTTPException):
        raise error
    kind = _GENERAL.get(error.status_code)
    if kind is None:
        kind = Kind("http-error", error.status_code, error.detail)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return respond(request, Problem(kind, f"{kind.title}.", headers=headers))


def _methods(request: Request) -> set[str]:
    """What the address takes. The framework tells only what its first route takes."""
    scope = {"type": "http", "path": request.scope["path"], "root_path": ""}
    found: set[str] = set()
    for route in request.app.routes:
        methods = getattr(route, "methods", None) or set()
        for method in methods:
            if route.matches({**scope, "method": method, "headers": []})[0] is Match.FULL:
                found.add(method)
    return found | ({"HEAD"} if "GET" in found else set())


def _pointer(location: Sequence[int | str]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)
