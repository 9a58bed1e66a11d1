"""Health for operators: every dependency, every breaker, and what the mode takes away.

All of it is told from memory: no endpoint here calls a dependency.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from pricing.access.role import Role
from pricing.api.health.breaker_json import breaker_json
from pricing.api.http.authorization import Endpoint
from pricing.api.http.degradation import assess_degradation
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.responses import NO_STORE, json_response
from pricing.api.http.routing import Operation, add
from pricing.api.schemas.base import HealthWord, LevelWord, ModeWord, Output
from pricing.health.passive import ServiceHealth, Status
from pricing.mode.policy import ModePolicy
from pricing.reading.policy import stale_limit_ms
from streaming.events.event_types import rfc3339

_AT = "2026-01-02T03:04:05.678Z"


class Check(Output):
    """One dependency, as its last calls and probes found it."""

    status: Status
    response_time_ms: float | None = Field(description="Of the last call; null: none was made.")
    breaker: str = Field(description="State of its circuit breaker.")
    failures: int
    successes: int
    last_state_change: datetime | None


class DetailedHealth(Output):
    """Every dependency, and what this process can answer without them."""

    overall_status: HealthWord
    mode: ModeWord
    level: LevelWord
    timestamp: datetime
    checks: dict[str, Check]
    stale_zones: int = Field(description="Zones whose last known price is in memory.")
    default_fares: int
    draining: bool


class BreakerCounts(Output):
    """Since the process started."""

    requests: int
    totalSuccesses: int  # noqa: N815 # the contract's name
    totalFailures: int  # noqa: N815 # the contract's name
    slow: int
    rejects: int
    late: int = Field(description="Results that came after the breaker had moved on.")
    hungProbes: int  # noqa: N815 # the contract's name


class BreakerWindow(Output):
    """The calls that decide."""

    calls: int
    failures: int
    slow: int
    failureRate: float = Field(ge=0, le=1)  # noqa: N815 # the contract's name
    slowCallRate: float = Field(ge=0, le=1)  # noqa: N815 # the contract's name


class BreakerOut(Output):
    """One circuit breaker."""

    state: str
    counts: BreakerCounts
    window: BreakerWindow
    last_state_change: datetime
    retry_after_s: float | None = Field(
        description="When a call may be admitted again; null where a result or a person decides."
    )


class BreakersHealth(Output):
    """Every circuit breaker of this process."""

    status: Literal["healthy", "degraded"]
    timestamp: datetime
    circuitBreakers: dict[str, BreakerOut]  # noqa: N815 # the contract's name


class Limits(Output):
    """What price reads may do at this level."""

    redis_timeout_ms: int
    redis_in_flight: int
    database_timeout_ms: int
    database_in_flight: int
    memo_ms: int
    stale_limit_ms: int = Field(
        description="A last known price of this age is still answered; a read that finds no "
        "store at all goes up to an hour in any mode."
    )


class DegradationHealth(Output):
    """How far the service is degraded, and what that means for price reads."""

    mode: ModeWord
    level: LevelWord
    degraded: bool
    degraded_services: list[str]
    timestamp: datetime
    limits: Limits
    message: str


class _DetailedHealth:
    def __init__(self, dependencies: ApiDependencies) -> None:
        self._dependencies = dependencies

    async def detailed(self, request: Request) -> Response:
        known, policy = self._dependencies, request.state.policy
        services = known.health.services()
        zones = len(known.catalogue.zones)
        content = {
            "overall_status": assess_degradation(policy.mode, services).overall_status(zones),
            "mode": policy.mode,
            "level": policy.level.word,
            "timestamp": rfc3339(known.now_ms()),
            "checks": {name: _check_json(service) for name, service in services.items()},
            "stale_zones": known.ladder.known_states,
            "default_fares": zones,
            "draining": known.drain.is_draining,
        }
        return json_response(content, headers=NO_STORE)

    async def breakers(self, _request: Request) -> Response:
        now_ms = self._dependencies.now_ms()
        breakers = tuple(self._dependencies.health.breakers)
        are_closed = all(breaker.state.value == "CLOSED" for breaker in breakers)
        content = {
            "status": "healthy" if are_closed else "degraded",
            "timestamp": rfc3339(now_ms),
            "circuitBreakers": {
                breaker.name: breaker_json(breaker, now_ms) for breaker in breakers
            },
        }
        return json_response(content, headers=NO_STORE)

    async def degradation(self, request: Request) -> Response:
        known, policy = self._dependencies, request.state.policy
        found = assess_degradation(policy.mode, known.health.services())
        content = {
            "mode": policy.mode,
            "level": policy.level.word,
            "degraded": found.is_degraded,
            "degraded_services": found.services,
            "timestamp": rfc3339(known.now_ms()),
            "limits": _limits_json(policy),
            "message": "Showing the last known prices where no live one can be read."
            if found.is_degraded
            else "All systems operational",
        }
        return json_response(content, headers=NO_STORE)


def _check_json(service: ServiceHealth) -> dict[str, Any]:
    changed_ms = service.last_state_change_ms
    return {
        "status": service.status,
        "response_time_ms": service.response_time_ms,
        "breaker": service.state,
        "failures": service.failures,
        "successes": service.successes,
        "last_state_change": None if changed_ms is None else rfc3339(changed_ms),
    }


def _limits_json(policy: ModePolicy) -> dict[str, Any]:
    read = policy.read
    return {
        "redis_timeout_ms": read.redis_timeout_ms,
        "redis_in_flight": read.redis_in_flight,
        "database_timeout_ms": read.database_timeout_ms,
        "database_in_flight": read.database_in_flight,
        "memo_ms": read.memo_ms,
        "stale_limit_ms": stale_limit_ms(policy.level),
    }


_CHECK = {
    "status": "healthy",
    "response_time_ms": 0.41,
    "breaker": "CLOSED",
    "failures": 0,
    "successes": 100,
    "last_state_change": _AT,
}
_BREAKER = {
    "state": "CLOSED",
    "counts": {
        "requests": 120,
        "totalSuccesses": 120,
        "totalFailures": 0,
        "slow": 0,
        "rejects": 0,
        "late": 0,
        "hungProbes": 0,
    },
    "window": {"calls": 12, "failures": 0, "slow": 0, "failureRate": 0.0, "slowCallRate": 0.0},
    "last_state_change": _AT,
    "retry_after_s": None,
}
EXAMPLES: dict[type[BaseModel], Any] = {
    DetailedHealth: {
        "overall_status": "healthy",
        "mode": "normal",
        "level": "normal",
        "timestamp": _AT,
        "checks": dict.fromkeys(("redis", "database", "kafka"), _CHECK),
        "stale_zones": 260,
        "default_fares": 260,
        "draining": False,
    },
    BreakersHealth: {
        "status": "healthy",
        "timestamp": _AT,
        "circuitBreakers": dict.fromkeys(("redis", "database", "kafka"), _BREAKER),
    },
    DegradationHealth: {
        "mode": "normal",
        "level": "normal",
        "degraded": False,
        "degraded_services": [],
        "timestamp": _AT,
        "limits": {
            "redis_timeout_ms": 100,
            "redis_in_flight": 32,
            "database_timeout_ms": 500,
            "database_in_flight": 20,
            "memo_ms": 250,
            "stale_limit_ms": 15_000,
        },
        "message": "All systems operational",
    },
}


def add_detailed_health(app: FastAPI, dependencies: ApiDependencies) -> None:
    """Serve the pages of detailed health, with and without a slash: for operators."""
    pages = _DetailedHealth(dependencies)
    endpoints: tuple[tuple[Endpoint, str, str, type[BaseModel]], ...] = (
        (pages.detailed, "detailed", "Every dependency", DetailedHealth),
        (pages.breakers, "circuit-breakers", "Every circuit breaker", BreakersHealth),
        (pages.degradation, "degradation", "What the mode takes away", DegradationHealth),
    )
    for endpoint, name, summary, model in endpoints:
        operation = Operation(
            method="GET",
            path=f"/health/{name}",
            operation_id=f"get{model.__name__}",
            tag="health",
            summary=summary,
            description="For operators. Told from memory: no call is made.",
            answer=model,
            example=EXAMPLES[model],
            role=Role.OPERATOR,
        )
        add(app, endpoint, operation)
        add(app, endpoint, replace(operation, path=f"{operation.path}/", is_documented=False))
