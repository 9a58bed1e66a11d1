"""The mode as JSON, for HTTP, the log and the other instances."""

from __future__ import annotations

from typing import Any

from fallback.mode import Cause, Level, ModeState
from fallback.mode.override import Override
from streaming.events.event_types import rfc3339


def cause_body(cause: Cause) -> dict[str, Any]:
    return {
        "input": cause.input,
        "value": cause.value,
        "threshold": cause.threshold,
        "level": cause.level.word,
    }


def inputs_body(state: ModeState) -> dict[str, Any]:
    """Every input: what it shows, what that is held against, its level, and what it holds.

    `holds` is the level whose exit it is not below: the mode does not fall to it or beyond it.
    """
    return {
        name: {
            "value": one.value,
            "threshold": one.threshold,
            "level": one.level.word,
            "holds": one.kept.word,
            "blind": one.is_blind,
        }
        for name, one in state.inputs.items()
    }


def override_body(
    override: Override, computed: Level, remaining_s: float | None = None
) -> dict[str, Any]:
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
