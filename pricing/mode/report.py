"""How reliable an instance was: availability, fallbacks, outages and how long they took."""

from __future__ import annotations

from typing import Any

from fallback.breaker import Snapshot
from fallback.mode import Level
from pricing.mode.pulse import Pulse
from pricing.mode.system import SystemMode
from pricing.model import Source
from streaming.events import rfc3339


def reliability(system: SystemMode, pulse: Pulse, *, window_s: int, now_ms: int) -> dict[str, Any]:
    """The report; answers count since the process began, changes of the mode within the window."""
    since = rfc3339(now_ms - window_s * 1000)
    changes = [
        entry
        for entry in system.journal.entries
        if entry["kind"] == "mode" and entry["occurred_at"] >= since
    ]
    answered = sum(pulse.answers.values())
    asked = answered + pulse.failed
    from_fallback = answered - pulse.answers[Source.REDIS]
    outages = _outages(changes)
    return {
        "window_s": window_s,
        "availability": round(answered / asked, 6) if asked else None,
        "answers": {source.value: times for source, times in pulse.answers.items()},
        "failed_requests": pulse.failed,
        "error_rate": round(pulse.failed / asked, 6) if asked else None,
        "fallback_rate": round(from_fallback / answered, 6) if answered else None,
        "mode": system.orchestrator.level.word,
        "mode_changes": len(changes),
        "outages": len(outages),
        "mean_time_to_recover_s": round(sum(outages) / len(outages), 1) if outages else None,
        "longest_outage_s": round(max(outages), 1) if outages else None,
        "breakers": {breaker.name: _breaker(breaker.snapshot()) for breaker in system.breakers},
    }


def _breaker(known: Snapshot) -> dict[str, Any]:
    return {
        "state": known.state.value,
        "failures_total": known.failures_total,
        "rejected_total": known.rejected_total,
    }


def _outages(changes: list[dict[str, Any]]) -> list[float]:
    """How long each time was that began at normal and ended there; the newest change first."""
    found: list[float] = []
    length_s: float | None = None
    for change in reversed(changes):
        if change["from"] == Level.NORMAL.word:
            length_s = 0.0
        elif length_s is not None:
            length_s += change["previous_s"]
            if change["to"] == Level.NORMAL.word:
                found.append(length_s)
                length_s = None
    return found
