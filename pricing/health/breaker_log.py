"""Logs what circuit breakers do: one line a change of state."""

from __future__ import annotations

import structlog

from fallback.breaker import State, Transition, Verdict

_log = structlog.get_logger(__name__)

_WORDS = {
    State.CLOSED: "circuit breaker closed",
    State.OPEN: "circuit breaker opened",
    State.HALF_OPEN: "circuit breaker probes",
}


class BreakerLog:
    """An observer of breakers."""

    def on_state_change(self, name: str, transition: Transition) -> None:
        counts = transition.counts
        notify = _log.warning if transition.new is State.OPEN else _log.info
        notify(
            _WORDS.get(transition.new, "circuit breaker in an operator's hand"),
            breaker=name,
            old_state=transition.old.value,
            new_state=transition.new.value,
            calls=counts.calls,
            failure_rate=round(counts.failure_rate, 3),
            slow_call_rate=round(counts.slow_call_rate, 3),
        )

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None: ...

    def on_rejected(self, name: str) -> None: ...
