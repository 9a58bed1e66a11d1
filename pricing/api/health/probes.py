"""Probes: what this process can do, whether to send requests to it, whether it is alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from pricing.api.http.degradation import assess_degradation
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.problems import NOT_READY, Problem
from pricing.api.http.responses import NO_STORE, json_response
from pricing.api.http.routing import Operation, Responses, add, reference
from pricing.api.schemas.base import HealthWord
from pricing.api.schemas.clients import Health, Live, Ready
from pricing.health.passive import ServiceHealth
from streaming.events.event_types import rfc3339

_MESSAGES: Mapping[HealthWord, str] = {
    "healthy": "All systems operational",
    "degraded": "Some services are degraded; prices are answered from what is left",
    "unhealthy": "No price can be answered",
}
_SERVICE_EXAMPLE = {
    "status": "healthy",
    "state": "CLOSED",
    "failures": 0,
    "successes": 100,
    "failureRate": 0.0,
    "last_state_change": "2026-01-02T03:04:05.000Z",
}
_EXAMPLE = {
    "status": "healthy",
    "mode": "normal",
    "timestamp": "2026-01-02T03:04:05.678Z",
    "services": dict.fromkeys(("redis", "database", "kafka"), _SERVICE_EXAMPLE),
    "fallbackData": {"stale_zones": 260, "default_fares": 260},
    "message": "All systems operational",
}


class _Probes:
    def __init__(self, dependencies: ApiDependencies) -> None:
        self._dependencies = dependencies

    async def health(self, request: Request) -> Response:
        """200 while a price can be answered, degraded or not."""
        services = self._dependencies.health.services()
        default_fares = len(self._dependencies.catalogue.zones)
        found = assess_degradation(request.state.mode, services)
        status = found.overall_status(default_fares)
        content = {
            "status": status,
            "mode": request.state.mode,
            "timestamp": rfc3339(self._dependencies.now_ms()),
            "services": {name: _service(service) for name, service in services.items()},
            "fallbackData": {
                "stale_zones": self._dependencies.ladder.known_states,
                "default_fares": default_fares,
            },
            "message": _MESSAGES[status],
        }
        code = 503 if status == "unhealthy" else 200
        headers = NO_STORE if code == 200 else {**NO_STORE, "Retry-After": "5"}
        return json_response(content, status=code, headers=headers)

    async def live(self, _request: Request) -> Response:
        return json_response({"status": "live"}, headers=NO_STORE)

    async def ready(self, _request: Request) -> Response:
        reasons = self._reasons()
        if reasons:
            raise Problem(
                NOT_READY,
                "; ".join(reasons),
                headers={**NO_STORE, "Retry-After": "1"},
                extra={"reasons": reasons},
            )
        return json_response({"status": "ready", "reasons": []}, headers=NO_STORE)

    def _reasons(self) -> list[str]:
        """What speaks against sending requests here. A dead dependency does so only if required:
        where every replica shares it, nobody would be left to answer from the fallbacks.
        """
        reasons = ["draining"] if self._dependencies.drain.is_draining else []
        if not self._dependencies.catalogue.zones:
            reasons.append("no zones")
        services = self._dependencies.health.services()
        return reasons + [
            f"{name} is {services[name].status}"
            for name in self._dependencies.config.readiness_requires
            if services[name].status != "healthy"
        ]


def _service(service: ServiceHealth) -> dict[str, Any]:
    changed_ms = service.last_state_change_ms
    return {
        "status": service.status,
        "state": service.state,
        "failures": service.failures,
        "successes": service.successes,
        "failureRate": round(service.failure_rate, 4),
        "last_state_change": None if changed_ms is None else rfc3339(changed_ms),
    }


def _operation(
    suffix: str,
    summary: str,
    description: str,
    answer: type[BaseModel],
    example: Any,
    **options: Any,
) -> Operation:
    return Operation(
        method="GET",
        path=f"/health{suffix}",
        operation_id=f"get{summary}",
        tag="health",
        summary=summary,
        description=description,
        answer=answer,
        example=example,
        role=None,
        **options,
    )


def add_health(app: FastAPI, dependencies: ApiDependencies) -> None:
    """Serve the probes: for everybody, without a key."""
    probes = _Probes(dependencies)
    unhealthy: Responses = {
        503: {
            "description": "Not even a default fare can be answered",
            "content": {"application/json": {"schema": reference(Health)}},
        }
    }
    health = _operation(
        "",
        "Health",
        "200 while a price can be answered, degraded or not. Told from memory: no call is made.",
        Health,
        _EXAMPLE,
        other=unhealthy,
    )
    live = _operation(
        "/live", "Liveness", "200 while the event loop responds.", Live, {"status": "live"}
    )
    ready = _operation(
        "/ready",
        "Readiness",
        "Whether to send requests here. Degraded stays ready: a default fare is an answer.",
        Ready,
        {"status": "ready", "reasons": []},
        problems=(NOT_READY,),
    )
    for endpoint, operation in (
        (probes.health, health),
        # Where clients of other such systems look.
        (probes.health, replace(health, path="/api/health", is_documented=False)),
        (probes.live, live),
        (probes.ready, ready),
    ):
        add(app, endpoint, operation)
        # Strict probes do not follow a redirect from the form with a slash.
        add(app, endpoint, replace(operation, path=f"{operation.path}/", is_documented=False))
