"""Health for operators: every dependency, every breaker, and what the mode takes away.

All of it is told from memory: no endpoint here calls a dependency.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from fallback.breaker import CircuitBreaker
from pricing.access.role import Role
from pricing.api.http.authorization import Endpoint
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.routing import Operation, add, json_response
from pricing.health.passive import Status
from pricing.reading.policy import stale_limit_ms
from streaming.events.event_types import rfc3339

_NO_STORE = {"Cache-Control": "no-store"}
_AT = "2026-01-02T03:04:05.678Z"

Level = Literal["normal", "minor", "moderate", "severe", "critical"]


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Check(_Output):
    """One dependency, as its last calls and probes found it."""

    status: Status
    response_time_ms: float | None = Field(description="Of the last call; null: none was made.")
    breaker: str = Field(description="State of its circuit breaker.")
    failures: int
    successes: int
    last_state_change: datetime | None


class DetailedHealth(_Output):
    """Every dependency, and what this process can answer without them."""

    overall_status: Literal["healthy", "degraded", "unhealthy"]
    mode: Literal["normal", "degraded", "emergency"]
    level: Level
    timestamp: datetime
    checks: dict[str, Check]
    stale_zones: int = Field(description="Zones whose last known price is in memory.")
    default_fares: int
    draining: bool


class BreakerCounts(_Output):
    """Since the process started."""

    requests: int
    totalSuccesses: int  # noqa: N815 # the contract's name
    totalFailures: int  # noqa: N815 # the contract's name
    slow: int
    rejects: int
    late: int = Field(description="Results that came after the breaker had moved on.")
    hungProbes: int  # noqa: N815 # the contract's name


class BreakerWindow(_Output):
    """The calls that decide."""

    calls: int
    failures: int
    slow: int
    failureRate: float = Field(ge=0, le=1)  # noqa: N815 # the contract's name
    slowCallRate: float = Field(ge=0, le=1)  # noqa: N815 # the contract's name


class BreakerOut(_Output):
    """One circuit breaker."""

    state: str
    counts: BreakerCounts
    window: BreakerWindow
    last_state_change: datetime
    retry_after_s: float | None = Field(
        description="When a call may be admitted again; null where a result or a person decides."
    )


class BreakersHealth(_Output):
    """Every circuit breaker of this process."""

    status: Literal["healthy", "degraded"]
    timestamp: datetime
    circuitBreakers: dict[str, BreakerOut]  # noqa: N815 # the contract's name


class Limits(_Output):
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


class DegradationHealth(_Output):
    """How far the service is degraded, and what that means for price reads."""

    mode: Literal["normal", "degraded", "emergency"]
    level: Level
    degraded: bool
    degraded_services: list[str]
    timestamp: datetime
    limits: Limits
    message: str


class _Probes:
    def __init__(self, parts: ApiDependencies) -> None:
        self._parts = parts

    async def detailed(self, request: Request) -> Response:
        parts, policy = self._parts, request.state.policy
        services = parts.health.services()
        troubled = any(each.status in ("degraded", "unhealthy") for each in services.values())
        default_fares = len(parts.catalogue.zones)
        healthy = "degraded" if troubled or policy.mode != "normal" else "healthy"
        content = {
            "overall_status": healthy if default_fares else "unhealthy",
            "mode": policy.mode,
            "level": policy.level.word,
            "timestamp": rfc3339(parts.now_ms()),
            "checks": {
                name: {
                    "status": service.status,
                    "response_time_ms": service.response_time_ms,
                    "breaker": service.state,
                    "failures": service.failures,
                    "successes": service.successes,
                    "last_state_change": None
                    if service.last_state_change_ms is None
                    else rfc3339(service.last_state_change_ms),
                }
                for name, service in services.items()
            },
            "stale_zones": parts.ladder.known_states,
            "default_fares": default_fares,
            "draining": parts.drain.is_draining,
        }
        return json_response(content, headers=_NO_STORE)

    async def breakers(self, _request: Request) -> Response:
        now_ms = self._parts.now_ms()
        breakers = tuple(self._parts.health.breakers)
        are_closed = all(breaker.state.value == "CLOSED" for breaker in breakers)
        content = {
            "status": "healthy" if are_closed else "degraded",
            "timestamp": rfc3339(now_ms),
            "circuitBreakers": {
                breaker.name: _breaker_json(breaker, now_ms) for breaker in breakers
            },
        }
        return json_response(content, headers=_NO_STORE)

    async def degradation(self, request: Request) -> Response:
        parts, policy = self._parts, request.state.policy
        troubled = [
            name
            for name, service in parts.health.services().items()
            if service.status in ("degraded", "unhealthy")
        ]
        is_degraded = bool(troubled) or policy.mode != "normal"
        read = policy.read
        content = {
            "mode": policy.mode,
            "level": policy.level.word,
            "degraded": is_degraded,
            "degraded_services": troubled,
            "timestamp": rfc3339(parts.now_ms()),
            "limits": {
                "redis_timeout_ms": read.redis_timeout_ms,
                "redis_in_flight": read.redis_in_flight,
                "database_timeout_ms": read.database_timeout_ms,
                "database_in_flight": read.database_in_flight,
                "memo_ms": read.memo_ms,
                "stale_limit_ms": stale_limit_ms(policy.level),
            },
            "message": "Showing the last known prices where no live one can be read."
            if is_degraded
            else "All systems operational",
        }
        return json_response(content, headers=_NO_STORE)


def _breaker_json(breaker: CircuitBreaker, now_ms: int) -> dict[str, Any]:
    seen = breaker.snapshot()
    return {
        "state": seen.state.value,
        "counts": {
            "requests": seen.successes_total + seen.failures_total + seen.rejected_total,
            "totalSuccesses": seen.successes_total,
            "totalFailures": seen.failures_total,
            "slow": seen.slow_total,
            "rejects": seen.rejected_total,
            "late": seen.late_total,
            "hungProbes": seen.leases_expired_total,
        },
        "window": {
            "calls": seen.counts.calls,
            "failures": seen.counts.failures,
            "slow": seen.counts.slow,
            "failureRate": round(seen.counts.failure_rate, 4),
            "slowCallRate": round(seen.counts.slow_call_rate, 4),
        },
        "last_state_change": rfc3339(now_ms - int(breaker.unchanged_for_s() * 1000)),
        "retry_after_s": seen.retry_after_s,
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


def add_detailed_health(app: FastAPI, parts: ApiDependencies) -> None:
    probes = _Probes(parts)
    endpoints: tuple[tuple[Endpoint, str, str, type[BaseModel]], ...] = (
        (probes.detailed, "detailed", "Every dependency", DetailedHealth),
        (probes.breakers, "circuit-breakers", "Every circuit breaker", BreakersHealth),
        (probes.degradation, "degradation", "What the mode takes away", DegradationHealth),
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
