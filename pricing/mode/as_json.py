"""The mode as JSON, for HTTP, the log and the other instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fallback.mode import Cause, Level, ModeState
from fallback.mode.override import Override
from pricing.health.passive import ServiceHealth
from pricing.health.ramps import Ramps
from pricing.mode.signals import Backlog
from streaming.events.event_types import rfc3339


def cause_json(cause: Cause) -> dict[str, Any]:
    return {
        "input": cause.input,
        "value": cause.value,
        "threshold": cause.threshold,
        "level": cause.level.word,
    }


def inputs_json(state: ModeState) -> dict[str, Any]:
    """Every input: what it shows, what that is held against, its level, and what it holds.

    `holds` is the level whose exit it is not below: the mode does not fall to it or beyond it.
    """
    return {
        name: {
            "value": shown.value,
            "threshold": shown.threshold,
            "level": shown.level.word,
            "holds": shown.kept.word,
            "blind": shown.is_blind,
        }
        for name, shown in state.inputs.items()
    }


def override_json(
    override: Override, computed: Level, remaining_s: float | None = None
) -> dict[str, Any]:
    """An override, and whether it holds the mode below what the inputs say.

    `remaining_s`: how long it still holds; None leaves that out, as in an event that is kept.
    """
    body: dict[str, Any] = {
        "kind": override.kind.value,
        "level": override.level.word,
        "reason": override.reason,
        "actor": override.actor,
        "set_at": rfc3339(int(override.set_at_s * 1000)),
        "expires_at": rfc3339(int(override.expires_at_s * 1000)),
        "forced": override.forced,
        "version": override.version,
        "below_computed": override.bounds.apply(computed) < computed,
    }
    if remaining_s is not None:
        body["remaining_s"] = round(remaining_s, 1)
    return body


def backlog_json(backlog: Backlog | None) -> dict[str, Any]:
    """What waits for Kafka; None: there is no spool, because the disk does not work."""
    if backlog is None:
        return {"events": 0, "bytes": 0, "oldest_age_s": None, "percent": None, "state": "none"}
    return {
        "events": backlog.records,
        "bytes": backlog.bytes,
        "oldest_age_s": round(backlog.oldest_age_s, 3),
        "percent": round(backlog.percent, 1),
        "state": backlog.pump.value,
    }


def dependencies_json(
    services: Mapping[str, ServiceHealth], ramps: Ramps, now_ms: int
) -> dict[str, Any]:
    """Every dependency: its breaker, its last calls, and the share of the load it is given."""
    return {
        name: {
            "breaker": service.state,
            "status": service.status,
            "failure_rate": round(service.failure_rate, 4),
            "last_success_age_s": _age_s(service.last_success_ms, now_ms),
            "ramp_percent": ramps.share(name),
        }
        for name, service in services.items()
    }


def _age_s(at_ms: int | None, now_ms: int) -> float | None:
    return None if at_ms is None else round((now_ms - at_ms) / 1000, 3)
