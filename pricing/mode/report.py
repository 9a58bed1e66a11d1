"""How reliable an instance was: availability, fallbacks, errors, outages and how long they took."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from fallback.breaker import BreakerRegistry
from fallback.mode import Level, ModeState
from pricing.metrics.request_stats import RequestStats
from pricing.mode.minute_totals import MinuteTotals
from pricing.model import Source
from streaming.events.event_types import rfc3339


def totals_of(stats: RequestStats, breakers: BreakerRegistry) -> Callable[[], Mapping[str, int]]:
    """What a report is made of, as totals that only grow."""

    def totals() -> dict[str, int]:
        counts = {f"answers {source.value}": times for source, times in stats.answers.items()}
        counts |= {"requests prices": stats.reads, "failed prices": stats.failed}
        counts |= {f"requests {kind}": times for kind, times in stats.requests.items()}
        counts |= {f"failed {kind}": times for kind, times in stats.failures.items()}
        for breaker in breakers:
            known = breaker.snapshot()
            counts[f"successes {breaker.name}"] = known.successes_total
            counts[f"failures {breaker.name}"] = known.failures_total
            counts[f"rejected {breaker.name}"] = known.rejected_total
        return counts

    return totals


def reliability_json(
    totals: MinuteTotals,
    breakers: BreakerRegistry,
    history: Iterable[Mapping[str, Any]],
    state: ModeState,
    *,
    window_s: int,
    now_ms: int,
) -> dict[str, Any]:
    """The report over the window, or what of it this process has seen.

    `history`: the journal's entries, the newest first.
    """
    grown, covered_s = totals.since(window_s)
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
            for breaker in breakers
        },
        "mode": state.effective.word,
        **_recoveries(history, since=rfc3339(now_ms - window_s * 1000)),
        "at_this_level_for_s": round(state.last_s - state.since_s, 1),
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


def _recoveries(history: Iterable[Mapping[str, Any]], *, since: str) -> dict[str, Any]:
    """Times from normal back to normal, within the window."""
    changes = [
        entry for entry in history if entry["kind"] == "mode" and entry["occurred_at"] >= since
    ]
    outages = _outages(changes)
    return {
        "mode_changes": len(changes),
        "outages": len(outages),
        "mean_time_to_recover_s": round(sum(outages) / len(outages), 1) if outages else None,
        "longest_outage_s": round(max(outages), 1) if outages else None,
    }


def _outages(changes: Sequence[Mapping[str, Any]]) -> list[float]:
    """How long each outage was that began at normal and ended there; the newest change first."""
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
