"""Records in the audit what operators do over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from pricing.api.http.authorization import principal_of
from pricing.api.http.dependencies import ApiDependencies


async def record_action(
    dependencies: ApiDependencies,
    request: Request,
    action: str,
    target: str,
    *,
    before: Any = None,
    after: Any = None,
    reason: str | None = None,
) -> None:
    """Record what the caller of a guarded endpoint did. Never fails.

    Args:
        dependencies: Whose audit to record it in.
        request: Of the endpoint; it tells who calls, and the request's id.
        action: From a small set, as `breaker.reset`.
        target: What it was done to: a breaker's name, a dead letter's id.
        before: What held before, as JSON can say it.
        after: What holds now.
        reason: The operator's own words, where the action asks for some.
    """
    await dependencies.audit.record(
        principal_of(request),
        action,
        target,
        before=before,
        after=after,
        reason=reason,
        request_id=request.state.request_id,
    )
