"""Every decision of a circuit breaker, as a state machine without I/O, locks or timers.

Time and randomness are arguments. It is meant for one event loop: no call awaits, so none
sees another half done. The invariants, each a property test:

- a call is admitted by a permit, and a permit's result counts at most once;
- a result counts only in the generation that admitted it, so a late one changes nothing;
- never more than `max_concurrent_probes` probes are out, hung ones aside: a probe's permit is
  a lease, and when it ends the probe has failed;
- OPEN is not left before its wait is over or was cut short, and only by admitting a probe;
- a neutral result (cancelled, rejected locally) gives the permit back and decides nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from fallback.breaker.config import BreakerConfig
from fallback.breaker.state import Permit, Snapshot, State, Transition
from fallback.breaker.window import SlidingWindow

_CLOSED = State.CLOSED
"""Looked up once: the ordinary call pays for nothing else."""

_KEPT_TRANSITIONS = 64
"""A machine that nobody watches forgets older ones."""


class Machine:
    """The state of one breaker. `random` gives a float in [0, 1)."""

    def __init__(self, config: BreakerConfig, now_s: float, random: Callable[[], float]) -> None:
        self._config = config
        self._random = random
        self._window = SlidingWindow(config.window_s, config.buckets)
        self._leases: dict[int, float] = {}
        self._probe_successes = 0
        self._probe_failures = 0
        self._next_probe = 1
        self._open_until_s = now_s
        self._openings = 0
        self._forced_until_s: float | None = None
        self._last_change_s = now_s
        self._successes = self._failures = self._slow = 0
        self._rejected = self._late = self._leases_expired = 0
        self._transitions: deque[Transition] = deque(maxlen=_KEPT_TRANSITIONS)
        self.state = State.CLOSED
        self.generation = 0

    def try_acquire(self, now_s: float) -> Permit | None:
        """Admit a call, or None: rejected. Every permit must come back: `record` or `release`."""
        state = self.state
        if state is _CLOSED:
            return Permit(self.generation, now_s, 0)
        if state is State.FORCED_OPEN:
            self.expire(now_s)
            if self.state is not _CLOSED:
                self._rejected += 1
                return None
            return Permit(self.generation, now_s, 0)
        if state is State.OPEN:
            if now_s < self._open_until_s:
                self._rejected += 1
                return None
            self._move(State.HALF_OPEN, now_s)
        return self._acquire_probe(now_s)

    def rejects(self, now_s: float) -> bool:
        """Whether a call would be rejected now: it counts as rejected then. Takes no permit."""
        if self.state is _CLOSED:
            return False
        self.expire(now_s)
        state = self.state
        is_rejected = (
            state is State.FORCED_OPEN
            or (state is State.OPEN and now_s < self._open_until_s)
            or (state is State.HALF_OPEN and self._probes_are_taken())
        )
        self._rejected += is_rejected
        return is_rejected

    def record(self, permit: Permit, now_s: float, *, failed: bool) -> None:
        """Take the result of a call; it took from the permit's start until now."""
        if permit.generation != self.generation:
            # Of an earlier state: what the dependency was then says nothing of what it is now.
            self._late += 1
            return
        slow = now_s - permit.started_s >= self._config.slow_call_duration_s
        if permit.probe:
            self._record_probe(permit, now_s, failed=failed or slow, slow=slow)
            return
        # An ordinary permit of this generation is one of CLOSED: no other state gives any.
        self._count(failed=failed, slow=slow)
        self._window.record(now_s, failed=failed, slow=slow)
        # Never at a success: the call that would show recovery must not be what opens it.
        if (failed or slow) and self._trips(now_s):
            self._open(now_s)

    def release(self, permit: Permit) -> None:
        """Give a permit back without a result: the call was cancelled or rejected locally."""
        if permit.probe and permit.generation == self.generation:
            self._leases.pop(permit.probe, None)

    def reset(self, now_s: float) -> None:
        """Close, and forget everything: an operator says that the dependency is well."""
        self._forced_until_s = None
        self._openings = 0
        self._move(State.CLOSED, now_s)

    def force_open(self, now_s: float, until_s: float | None) -> None:
        """Admit nothing, by an operator's hand, until then or (None) until `reset`."""
        self._forced_until_s = until_s
        self._move(State.FORCED_OPEN, now_s)

    def hasten(self, now_s: float) -> None:
        """Cut the wait in OPEN short: the dependency was seen to be back. Probes decide as ever."""
        if self.state is State.OPEN:
            self._open_until_s = min(self._open_until_s, now_s)

    def expire(self, now_s: float) -> None:
        """End what is over: an operator's state, and leases. Call it now and then when idle."""
        until_s = self._forced_until_s
        if until_s is not None and now_s >= until_s:
            self._forced_until_s = None
            self._move(State.CLOSED, now_s)
        if self.state is State.HALF_OPEN:
            self._end_leases(now_s)

    def retry_after_s(self, now_s: float) -> float | None:
        """Seconds until a call may be admitted; None where a result or a person decides."""
        if self.state is State.OPEN:
            return max(0.0, self._open_until_s - now_s)
        if self.state is State.FORCED_OPEN and self._forced_until_s is not None:
            return max(0.0, self._forced_until_s - now_s)
        return None

    def snapshot(self, now_s: float) -> Snapshot:
        """What is known now; changes nothing that decides."""
        return Snapshot(
            state=self.state,
            generation=self.generation,
            counts=self._window.counts(now_s),
            successes_total=self._successes,
            failures_total=self._failures,
            slow_total=self._slow,
            rejected_total=self._rejected,
            late_total=self._late,
            leases_expired_total=self._leases_expired,
            last_change_s=self._last_change_s,
            retry_after_s=self.retry_after_s(now_s),
        )

    def take_transitions(self) -> list[Transition]:
        """The changes since the last call, oldest first; the shell tells the observers."""
        taken = list(self._transitions)
        self._transitions.clear()
        return taken

    def _acquire_probe(self, now_s: float) -> Permit | None:
        self._end_leases(now_s)
        if self.state is not State.HALF_OPEN or self._probes_are_taken():
            self._rejected += 1
            return None
        probe = self._next_probe
        self._next_probe += 1
        # A lease: a probe whose caller hangs or is lost must not hold its place for ever.
        self._leases[probe] = now_s + self._config.probe_lease_s
        return Permit(self.generation, now_s, probe)

    def _probes_are_taken(self) -> bool:
        config = self._config
        out = len(self._leases)
        decided = self._probe_successes + self._probe_failures
        return (
            out >= config.max_concurrent_probes
            or decided + out >= config.permitted_calls_in_half_open
        )

    def _record_probe(self, permit: Permit, now_s: float, *, failed: bool, slow: bool) -> None:
        # First, for the end of another's lease may decide, and this result then comes late.
        self._end_leases(now_s)
        if self.state is not State.HALF_OPEN or self._leases.pop(permit.probe, None) is None:
            self._late += 1
            return
        self._count(failed=failed, slow=slow)
        self._probe_failures += failed
        self._probe_successes += not failed
        self._decide(now_s)

    def _end_leases(self, now_s: float) -> None:
        for probe in [probe for probe, end_s in self._leases.items() if now_s >= end_s]:
            del self._leases[probe]
            self._leases_expired += 1
            self._probe_failures += 1
        self._decide(now_s)

    def _decide(self, now_s: float) -> None:
        """Close or open as soon as the outstanding probes cannot change the verdict."""
        config = self._config
        allowed = config.permitted_calls_in_half_open - config.required_successes_in_half_open
        if self._probe_failures > allowed:
            self._open(now_s)
        elif self._probe_successes >= config.required_successes_in_half_open:
            self._move(State.CLOSED, now_s)

    def _trips(self, now_s: float) -> bool:
        counts = self._window.counts(now_s)
        config = self._config
        return counts.calls >= config.minimum_number_of_calls and (
            counts.failure_rate >= config.failure_rate_threshold
            or counts.slow_call_rate >= config.slow_call_rate_threshold
        )

    def _open(self, now_s: float) -> None:
        config = self._config
        if self.state is State.CLOSED:
            # A breaker that closes and opens again in short turns is not well: its waits grow on.
            was_well = now_s - self._last_change_s >= config.max_wait_duration_in_open_s
            self._openings = 0 if was_well else self._openings
        self._openings += 1
        # Past 64 every wait has reached its cap, and a float would overflow in the end.
        growth = config.wait_growth ** min(self._openings - 1, 64)
        wait_s = min(config.wait_duration_in_open_s * growth, config.max_wait_duration_in_open_s)
        jitter = 1 + config.wait_jitter * (2 * self._random() - 1)
        self._move(State.OPEN, now_s)
        self._open_until_s = now_s + wait_s * jitter

    def _move(self, state: State, now_s: float) -> None:
        """Enter a state with a clean window and a new generation."""
        self._transitions.append(Transition(self.state, state, now_s, self._window.counts(now_s)))
        self.state = state
        self.generation += 1
        self._last_change_s = now_s
        self._window = SlidingWindow(self._config.window_s, self._config.buckets)
        self._leases.clear()
        self._probe_successes = self._probe_failures = 0

    def _count(self, *, failed: bool, slow: bool) -> None:
        self._failures += failed
        self._successes += not failed
        self._slow += slow
