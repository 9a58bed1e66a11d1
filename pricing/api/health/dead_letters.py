"""`/health/dlq`: how many events Kafka refused for what they hold. No payload, no id."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import structlog
from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from fallback.pump.dead_letters import DeadLetterStats
from pricing.access.role import Role
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.responses import NO_STORE, json_response
from pricing.api.http.routing import Operation, add
from pricing.api.schemas.base import Output
from streaming.events.event_types import rfc3339

_log = structlog.get_logger(__name__)


class DlqHealth(Output):
    """The dead letters on this instance's disk."""

    status: Literal["healthy", "degraded", "unknown"] = Field(
        description="`degraded`: somebody should look. `unknown`: the disk does not say."
    )
    timestamp: str
    letters: int
    bytes: int
    waiting_for_retry: int = Field(description="Marked to be put back.")
    oldest_age_s: float | None = Field(description="null: there is none.")
    by_class: Mapping[str, int] = Field(description="By error class: Kafka's code, or a word.")


_EXAMPLE = {
    "status": "degraded",
    "timestamp": "2026-01-02T03:04:05.678Z",
    "letters": 1,
    "bytes": 812,
    "waiting_for_retry": 0,
    "oldest_age_s": 61.5,
    "by_class": {"10": 1},
}
_NO_LETTERS = DeadLetterStats(
    letters=0, size_bytes=0, waiting_for_retry=0, oldest_ms=None, by_class={}
)


class _DlqHealth:
    def __init__(self, dependencies: ApiDependencies) -> None:
        self._box = dependencies.dead_letters
        self._now_ms = dependencies.now_ms

    async def dlq(self, _request: Request) -> Response:
        """200 in any case: dead letters are no reason to take an instance out."""
        try:
            stats = await asyncio.to_thread(self._box.stats)
        except OSError as error:
            _log.warning("dead letters not reached", error=str(error))
            content = _json("unknown", _NO_LETTERS, self._now_ms())
        else:
            status = "degraded" if stats.letters else "healthy"
            content = _json(status, stats, self._now_ms())
        return json_response(content, headers=NO_STORE)


def _json(status: str, stats: DeadLetterStats, now_ms: int) -> dict[str, Any]:
    oldest_ms = stats.oldest_ms
    return {
        "status": status,
        "timestamp": rfc3339(now_ms),
        "letters": stats.letters,
        "bytes": stats.size_bytes,
        "waiting_for_retry": stats.waiting_for_retry,
        # A clock that was set back must not make an age negative.
        "oldest_age_s": None if oldest_ms is None else max(0, now_ms - oldest_ms) / 1000,
        "by_class": dict(stats.by_class),
    }


def add_dlq_health(app: FastAPI, dependencies: ApiDependencies) -> None:
    """Serve the figures of the dead letters, with and without a slash: for operators."""
    operation = Operation(
        method="GET",
        path="/health/dlq",
        operation_id="getDlqHealth",
        tag="health",
        summary="Dead letters",
        description="For operators. How many events Kafka refused for what they hold; figures "
        "only.",
        answer=DlqHealth,
        example=_EXAMPLE,
        role=Role.OPERATOR,
    )
    health = _DlqHealth(dependencies)
    add(app, health.dlq, operation)
    add(app, health.dlq, replace(operation, path="/health/dlq/", is_documented=False))
