"""Keeps an endpoint from requests that the mode does not let in now.

No route has a class yet: history, heatmap, what-if, streams and quotes will bring theirs.
"""

from __future__ import annotations

import random
from functools import wraps

from starlette.requests import Request
from starlette.responses import Response

from fallback.errors import BulkheadFullError
from pricing.api.http.authorization import Endpoint
from pricing.api.http.problems import READ_ONLY, SHED, Problem
from pricing.errors import DependencyError
from pricing.mode.admission import Admission, Criticality
from pricing.mode.policy import ModePolicy

READ_ONLY_TEXT = (
    "System is temporarily in read-only mode. Your data is safe, but changes cannot be made right "
    "now. Please try again in a few minutes."
)
_RETRY_S = (5, 15)


def admitted(endpoint: Endpoint, criticality: Criticality) -> Endpoint:
    """The endpoint for as many requests of its class as the mode allows; the others get 503."""

    @wraps(endpoint)
    async def taken(request: Request) -> Response:
        policy: ModePolicy = request.state.policy
        admission: Admission = request.app.state.admission
        if not admission.admits(criticality, policy.knobs):
            raise _shed(policy, criticality)
        if criticality is not Criticality.CRITICAL:
            return await endpoint(request)
        try:
            with admission.critical:
                return await endpoint(request)
        except BulkheadFullError:
            admission.shed[criticality] += 1
            raise _shed(policy, criticality) from None

    return taken


def writable(endpoint: Endpoint) -> Endpoint:
    """The endpoint, as long as the database takes writes; else 503 with a clear text.

    The write that finds out first gets the same text.
    """

    @wraps(endpoint)
    async def written(request: Request) -> Response:
        if request.app.state.is_read_only():
            raise _read_only()
        try:
            return await endpoint(request)
        except DependencyError:
            raise _read_only() from None

    return written


def _read_only() -> Problem:
    return Problem(READ_ONLY, READ_ONLY_TEXT, headers={"Retry-After": _retry_after()})


def _shed(policy: ModePolicy, criticality: Criticality) -> Problem:
    return Problem(
        SHED,
        f"The system mode is {policy.mode}: requests of the class {criticality} are not all taken.",
        headers={"Retry-After": _retry_after()},
        extra={"mode": policy.mode, "criticality": criticality.value},
    )


def _retry_after() -> str:
    """Spread, so that the refused do not come back together."""
    return str(random.randint(*_RETRY_S))  # noqa: S311 - no secret
