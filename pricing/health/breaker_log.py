"""Logs each change of a circuit breaker's state."""

from __future__ import annotations

import structlog

from fallback.breaker import State, Transition, Verdict

_log = structlog.get_logger(__name__)

_EVENTS = {
    State.CLOSED: "circuit breaker closed",
    State.OPEN: "circuit breaker opened",
    State.HALF_OPEN: "circuit breaker half-opened",
}


class BreakerLog:
    """An observer of breakers."""

    def on_state_change(self, name: str, transition: Transition) -> None:
        counts = transition.counts
        log = _log.warning if transition.new is State.OPEN else _log.info
        log(
            _EVENTS.get(transition.new, "circuit breaker set by an operator"),
            breaker=name,
            old_state=transition.old.value,
            new_state=transition.new.value,
            calls=counts.calls,
            failure_rate=round(counts.failure_rate, 3),
            slow_call_rate=round(counts.slow_call_rate, 3),
        )

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None: ...

    def on_rejected(self, name: str) -> None: ...
