"""Gives a store whose breaker has closed its load back step by step (`fallback.guards.ramp`)."""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Mapping

import structlog

from fallback.breaker import State, Transition, Verdict
from fallback.clock import Monotonic, monotonic_s
from fallback.guards.ramp import FULL, Ramp, RampConfig, advance, begin, done

_log = structlog.get_logger(__name__)


class Ramps:
    """The ramps of the stores, by name; an observer of their breakers. One event loop.

    `slow_s`: by store, from how many seconds on a call counts as slow.
    """

    def __init__(
        self,
        slow_s: Mapping[str, float],
        config: RampConfig | None = None,
        *,
        now_s: Monotonic = monotonic_s,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._config = config or RampConfig()
        self._now_s = now_s
        self._random = random
        self._slow_s = dict(slow_s)
        self._ramps: dict[str, Ramp] = {name: done(self._config) for name in slow_s}
        self._is_ramping = False

    @property
    def is_ramping(self) -> bool:
        """Whether a store is not yet given everything."""
        return self._is_ramping

    def share(self, name: str) -> int:
        """Per cent of the calls that a store is given."""
        ramp = self._ramps.get(name)
        return FULL if ramp is None else ramp.share(self._config)

    def shares(self) -> Mapping[str, int]:
        """The same of every store."""
        return {name: ramp.share(self._config) for name, ramp in self._ramps.items()}

    def admits(self, name: str) -> bool:
        """Whether a call may go to a store."""
        if not self._is_ramping:
            return True
        return self._ramps[name].admits(self._config, self._random())

    def advance(self) -> None:
        """Let time pass; called once a step of the mode, about once a second."""
        if not self._is_ramping:
            return
        now_s = self._now_s()
        for name, ramp in self._ramps.items():
            self._put(name, advance(self._config, ramp, now_s, self._random()))

    def on_state_change(self, name: str, transition: Transition) -> None:
        if name not in self._ramps:
            return
        # Only from half-open: a breaker that an operator resets is trusted at once.
        if transition.new is State.CLOSED and transition.old is State.HALF_OPEN:
            self._put(name, begin(self._config, self._now_s(), self._random()))
        elif transition.new is not State.HALF_OPEN:
            # Open again, or set by an operator: there is no load to give back.
            self._put(name, done(self._config))

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None:
        if self._is_ramping and name in self._ramps and verdict is not Verdict.NEUTRAL:
            is_slow = duration_s >= self._slow_s[name]
            failed = verdict is Verdict.FAILURE
            self._ramps[name] = self._ramps[name].count(failed=failed, slow=is_slow)

    def on_rejected(self, name: str) -> None: ...

    def _put(self, name: str, ramp: Ramp) -> None:
        was = self._ramps[name].share(self._config)
        self._ramps[name] = ramp
        share = ramp.share(self._config)
        if share != was:
            _log.info("share of the load changed", dependency=name, share_percent=share)
        self._is_ramping = any(not ramp.is_done(self._config) for ramp in self._ramps.values())
