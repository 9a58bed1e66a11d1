"""The breaker against a model of its own: every state, count and admission is predicted."""

import copy
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from fallback.breaker import BreakerConfig, Machine, State
from fallback.breaker.machine import OPERATOR_STATES

CONFIG = BreakerConfig(
    window_s=4.0,
    buckets=4,
    minimum_number_of_calls=4,
    failure_rate_threshold=0.5,
    slow_call_rate_threshold=0.75,
    slow_call_duration_s=0.5,
    wait_duration_in_open_s=2.0,
    wait_growth=2.0,
    max_wait_duration_in_open_s=6.0,
    wait_jitter=0.2,
    permitted_calls_in_half_open=3,
    required_successes_in_half_open=2,
    max_concurrent_probes=2,
    probe_lease_s=1.5,
)
EVEN = 0.5
"""Jitter draws this: a wait is then exactly what growth and cap say."""


@dataclass
class Model:
    """What the breaker should be, worked out from whole lists."""

    state: str = "CLOSED"
    era: int = 0
    since_s: float = 0.0
    open_until_s: float = 0.0
    openings: int = 0
    results: list = field(default_factory=list)
    probes: dict = field(default_factory=dict)
    good: int = 0
    bad: int = 0

    def enter(self, state, now_s):
        self.state, self.since_s = state, now_s
        self.era += 1
        self.results, self.probes, self.good, self.bad = [], {}, 0, 0

    def in_window(self, now_s):
        width = CONFIG.window_s / CONFIG.buckets
        oldest = now_s // width - CONFIG.buckets
        return [result for result in self.results if result[0] // width > oldest]

    def trip(self, now_s):
        if self.state == "CLOSED" and now_s - self.since_s >= CONFIG.max_wait_duration_in_open_s:
            self.openings = 0
        self.openings += 1
        wait_s = min(2.0 * 2.0 ** (self.openings - 1), 6.0)
        self.enter("OPEN", now_s)
        self.open_until_s = now_s + wait_s

    def expire(self, now_s):
        if self.state != "HALF_OPEN":
            return
        for permit in [one for one, end_s in self.probes.items() if end_s <= now_s]:
            del self.probes[permit]
            self.bad += 1
        self.decide(now_s)

    def decide(self, now_s):
        if self.bad > 1:
            self.trip(now_s)
        elif self.good >= 2:
            self.enter("CLOSED", now_s)

    def admits(self, now_s):
        if self.state in ("CLOSED", "DISABLED", "METRICS_ONLY"):
            return True
        if self.state == "FORCED_OPEN":
            return False
        if self.state == "OPEN":
            if now_s < self.open_until_s:
                return False
            self.enter("HALF_OPEN", now_s)
        self.expire(now_s)
        if self.state != "HALF_OPEN":
            return False
        return len(self.probes) < 2 and self.good + self.bad + len(self.probes) < 3

    def rejects(self, now_s):
        """What `admits` would say of a copy."""
        return not copy.deepcopy(self).admits(now_s)

    def result(self, permit, started_s, now_s, failed):
        slow = now_s - started_s >= CONFIG.slow_call_duration_s
        if permit.generation != self.era:
            return
        if permit.probe:
            self.expire(now_s)
            if self.state != "HALF_OPEN" or self.probes.pop(permit, None) is None:
                return
            self.good += not (failed or slow)
            self.bad += failed or slow
            self.decide(now_s)
        elif self.state in ("CLOSED", "METRICS_ONLY"):
            self.results.append((now_s, failed, slow))
            self.judge_window(now_s, failed or slow)

    def judge_window(self, now_s, is_bad):
        window = self.in_window(now_s)
        if self.state != "CLOSED" or not is_bad or len(window) < 4:
            return
        failures = sum(failed for _, failed, _ in window)
        slow = sum(slow for _, _, slow in window)
        if failures / len(window) >= 0.5 or slow / len(window) >= 0.75:
            self.trip(now_s)


class BreakerMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.now_s = 0.0
        self.machine = Machine(CONFIG, 0.0, lambda: EVEN)
        self.model = Model()
        self.out = []
        self.returned = set()

    @rule(quarters=st.integers(1, 40))
    def time_goes_by(self, quarters):
        self.now_s += quarters / 4

    @rule()
    def a_call_asks_for_leave(self):
        assert self.machine.rejects(self.now_s) == self.model.rejects(self.now_s)
        expected = self.model.admits(self.now_s)
        permit = self.machine.try_acquire(self.now_s)
        assert (permit is not None) == expected
        if permit is None:
            return
        assert permit.generation == self.model.era
        if permit.probe:
            self.model.probes[permit] = self.now_s + CONFIG.probe_lease_s
        self.out.append(permit)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), failed=st.booleans())
    def a_call_ends(self, data, failed):
        permit = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        self.model.result(permit, permit.started_s, self.now_s, failed)
        self.machine.record(permit, self.now_s, failed=failed)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def a_call_is_cancelled(self, data):
        permit = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        before = self.machine.state
        if permit.generation == self.model.era:
            self.model.probes.pop(permit, None)
        self.machine.release(permit)
        assert self.machine.state is before

    @rule(state=st.sampled_from(["FORCED_OPEN", "DISABLED", "METRICS_ONLY"]))
    def an_operator_steps_in(self, state):
        self.model.enter(state, self.now_s)
        self.machine.force(State(state), self.now_s, None)

    @rule()
    def an_operator_resets(self):
        self.model.openings = 0
        self.model.enter("CLOSED", self.now_s)
        self.machine.reset(self.now_s)

    @rule()
    def the_owner_lets_things_expire(self):
        self.model.expire(self.now_s)
        self.machine.expire(self.now_s)

    @invariant()
    def it_is_what_the_model_says(self):
        snapshot = self.machine.snapshot(self.now_s)
        assert snapshot.state.value == self.model.state
        assert snapshot.generation == self.model.era
        window = self.model.in_window(self.now_s)
        assert snapshot.counts.calls == len(window)
        assert snapshot.counts.failures == sum(failed for _, failed, _ in window)
        assert snapshot.counts.slow == sum(slow for _, _, slow in window)

    @invariant()
    def no_more_probes_are_out_than_allowed(self):
        assert len(self.model.probes) <= CONFIG.max_concurrent_probes

    def teardown(self):
        """From anywhere, a healthy backend closes it within a bound, old probes hung or not."""
        if self.machine.state in OPERATOR_STATES:
            self.machine.reset(self.now_s)
        bound_s = CONFIG.probe_lease_s * 3 + CONFIG.longest_wait_s() + 1
        end_s = self.now_s + bound_s
        while self.machine.state is not State.CLOSED and self.now_s < end_s:
            permit = self.machine.try_acquire(self.now_s)
            if permit is not None:
                self.machine.record(permit, self.now_s, failed=False)
            self.now_s += 0.25
        assert self.machine.state is State.CLOSED


BreakerMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=60)
TestBreaker = BreakerMachine.TestCase
