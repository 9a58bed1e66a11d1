"""Lets an endpoint be reached by those who may, and tells the others why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from pricing.access.auth import Gate, NotAllowed, NotAuthenticated, Principal, authorize
from pricing.access.role import Role
from pricing.api.http.problems import FORBIDDEN, UNAUTHENTICATED, Problem
from pricing.api.http.responses import NO_STORE

Endpoint = Callable[[Request], Awaitable[Response]]

_REALM = 'Bearer realm="equilibrium"'


def guarded(endpoint: Endpoint, role: Role) -> Endpoint:
    """The endpoint for callers who may do what `role` may; `principal_of` tells it who calls."""

    @wraps(endpoint)
    async def admitted(request: Request) -> Response:
        gate: Gate = request.app.state.gate
        try:
            request.state.principal = authorize(gate, request.scope["headers"], role)
        except NotAuthenticated as error:
            raise _unauthenticated(error) from None
        except NotAllowed as error:
            raise _forbidden(error) from None
        return await endpoint(request)

    return admitted


def principal_of(request: Request) -> Principal:
    """Who calls a guarded endpoint."""
    principal: Principal = request.state.principal
    return principal


def _unauthenticated(error: NotAuthenticated) -> Problem:
    challenge = f'{_REALM}, error="invalid_token"' if error.has_key else _REALM
    return Problem(
        UNAUTHENTICATED,
        error.reason,
        headers={**NO_STORE, "WWW-Authenticate": challenge},
    )


def _forbidden(error: NotAllowed) -> Problem:
    return Problem(
        FORBIDDEN,
        f"This needs the role {error.needed}; the key has {error.given}.",
        headers=NO_STORE,
        extra={"role_needed": error.needed.value, "role": error.given.value},
    )
