"""`/health/dlq`: how many events Kafka refused for what they hold. No payload, no id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.routing import Operation, add, json_response
from streaming.events.event_types import rfc3339


class DlqHealth(BaseModel):
    """The dead letters on this instance's disk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


class _DlqProbe:
    def __init__(self, parts: ApiDependencies) -> None:
        self._parts = parts

    async def dlq(self, _request: Request) -> Response:
        """200 in any case: dead letters are no reason to take an instance out."""
        now_ms = self._parts.now_ms()
        stats = None
        if self._parts.dead_letters is not None:
            try:
                stats = await self._parts.dead_letters()
            except OSError:
                stats = None
        content = {
            "status": "unknown" if stats is None else "degraded" if stats.letters else "healthy",
            "timestamp": rfc3339(now_ms),
            "letters": 0 if stats is None else stats.letters,
            "bytes": 0 if stats is None else stats.size_bytes,
            "waiting_for_retry": 0 if stats is None else stats.waiting_for_retry,
            "oldest_age_s": None
            if stats is None or stats.oldest_ms is None
            else max(0, now_ms - stats.oldest_ms) / 1000,
            "by_class": {} if stats is None else dict(stats.by_class),
        }
        return json_response(content, headers={"Cache-Control": "no-store"})


def add_dlq_health(app: FastAPI, parts: ApiDependencies) -> None:
    operation = Operation(
        method="GET",
        path="/health/dlq",
        operation_id="getDlqHealth",
        tag="health",
        summary="Dead letters",
        description="How many events Kafka refused for what they hold; figures only.",
        answer=DlqHealth,
        example=_EXAMPLE,
    )
    probe = _DlqProbe(parts)
    add(app, probe.dlq, operation)
    add(app, probe.dlq, replace(operation, path="/health/dlq/", is_documented=False))
