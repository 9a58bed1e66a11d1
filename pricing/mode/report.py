"""How reliable an instance was: availability, fallbacks, errors, outages and how long they took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fallback.breaker import BreakerRegistry
from fallback.mode import Level
from pricing.metrics.request_stats import RequestStats
from pricing.mode.current import SystemMode
from pricing.model import Source
from streaming.events.event_types import rfc3339


def totals_of(pulse: RequestStats, breakers: BreakerRegistry) -> Callable[[], Mapping[str, int]]:
    """What a report is made of, as totals that only grow."""

    def totals() -> dict[str, int]:
        told = {f"answers {source.value}": times for source, times in pulse.answers.items()}
        told |= {"requests prices": pulse.reads, "failed prices": pulse.failed}
        told |= {f"requests {kind}": times for kind, times in pulse.requests.items()}
        told |= {f"failed {kind}": times for kind, times in pulse.failures.items()}
        for breaker in breakers:
            known = breaker.snapshot()
            told[f"successes {breaker.name}"] = known.successes_total
            told[f"failures {breaker.name}"] = known.failures_total
            told[f"rejected {breaker.name}"] = known.rejected_total
        return told

    return totals


def reliability(system: SystemMode, *, window_s: int, now_ms: int) -> dict[str, Any]:
    """The report over the window, or what of it this process has seen."""
    grown, covered_s = system.minutes.since(window_s)
    answers = {source.value: grown[f"answers {source.value}"] for source in Source}
    answered, failed = sum(answers.values()), grown["failed prices"]
    return {
        "window_s": window_s,
        "covered_s": round(covered_s, 1),
        "availability": _share(answered, answered + failed),
        "answers": answers,
        "failed_requests": failed,
        "error_rate": _share(failed, answered + failed),
        "fallback_rate": _share(answered - answers[Source.REDIS.value], answered),
        "operations": {kind: _operation(grown, kind) for kind in _KINDS},
        "services": {
            breaker.name: {"state": breaker.state.value, **_service(grown, breaker.name)}
            for breaker in system.breakers
        },
        "mode": system.orchestrator.level.word,
        **_recoveries(system, window_s, now_ms),
    }


_KINDS = ("prices", "events", "operators", "others")


def _operation(grown: Mapping[str, int], kind: str) -> dict[str, Any]:
    requests, failed = grown[f"requests {kind}"], grown[f"failed {kind}"]
    return {"requests": requests, "failed": failed, "error_rate": _share(failed, requests)}


def _service(grown: Mapping[str, int], name: str) -> dict[str, Any]:
    successes, failures = grown[f"successes {name}"], grown[f"failures {name}"]
    return {
        "calls": successes + failures,
        "failures": failures,
        "rejected": grown[f"rejected {name}"],
        "error_rate": _share(failures, successes + failures),
    }


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _recoveries(system: SystemMode, window_s: int, now_ms: int) -> dict[str, Any]:
    """Times from normal back to normal, within the window."""
    since = rfc3339(now_ms - window_s * 1000)
    changes = [
        entry
        for entry in system.journal.entries
        if entry["kind"] == "mode" and entry["occurred_at"] >= since
    ]
    outages = _outages(changes)
    state = system.orchestrator.state
    return {
        "mode_changes": len(changes),
        "outages": len(outages),
        "mean_time_to_recover_s": round(sum(outages) / len(outages), 1) if outages else None,
        "longest_outage_s": round(max(outages), 1) if outages else None,
        "at_this_level_for_s": round(state.last_s - state.since_s, 1),
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
