"""Notes what operators do, in the audit."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from pricing.api.http.authorization import principal_of
from pricing.api.http.dependencies import ApiDependencies


async def note_act(
    parts: ApiDependencies,
    request: Request,
    action: str,
    target: str,
    *,
    before: Any = None,
    after: Any = None,
    reason: str | None = None,
) -> None:
    """Note what the caller of a guarded endpoint did. Never fails."""
    if parts.audit is not None:
        await parts.audit.record(
            principal_of(request),
            action,
            target,
            before=before,
            after=after,
            reason=reason,
            request_id=request.state.request_id,
        )
