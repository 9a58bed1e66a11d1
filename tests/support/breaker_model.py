"""A model of the breaker that works everything out from whole lists, and a walk that compares.

The property test lets Hypothesis choose the steps; the mutation test takes them from a seed.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from random import Random

from fallback.breaker import BreakerConfig

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
DRAWN = 0.8125
"""What jitter draws: waits are then an eighth longer, and end on a quarter of a second."""
JITTER = 1.125


@dataclass
class Model:
    """What the breaker should be."""

    state: str = "CLOSED"
    era: int = 0
    since_s: float = 0.0
    open_until_s: float = 0.0
    operator_until_s: float | None = None
    openings: int = 0
    results: list = field(default_factory=list)
    probes: dict = field(default_factory=dict)
    good: int = 0
    bad: int = 0
    totals: dict = field(
        default_factory=lambda: dict.fromkeys(
            ("successes", "failures", "slow", "rejected", "late", "leases_expired"), 0
        )
    )
    changes: list = field(default_factory=list)

    def enter(self, state, now_s):
        self.changes.append((self.state, state, now_s, len(self.in_window(now_s))))
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
        self.open_until_s = now_s + wait_s * JITTER

    def expire(self, now_s):
        if self.operator_until_s is not None and now_s >= self.operator_until_s:
            self.operator_until_s = None
            self.enter("CLOSED", now_s)
        if self.state != "HALF_OPEN":
            return
        for permit in [one for one, end_s in self.probes.items() if end_s <= now_s]:
            del self.probes[permit]
            self.totals["leases_expired"] += 1
            self.bad += 1
        self.decide(now_s)

    def decide(self, now_s):
        if self.bad > 1:
            self.trip(now_s)
        elif self.good >= 2:
            self.enter("CLOSED", now_s)

    def admits(self, now_s):
        admitted = self._admits(now_s)
        self.totals["rejected"] += not admitted
        return admitted

    def _admits(self, now_s):
        if self.state == "FORCED_OPEN":
            self.expire(now_s)
        if self.state == "CLOSED":
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
        """What `admits` would say of a copy; time that is over ends here too."""
        if self.state != "CLOSED":
            self.expire(now_s)
        rejected = not copy.deepcopy(self)._admits(now_s)
        self.totals["rejected"] += rejected
        return rejected

    def result(self, permit, started_s, now_s, failed):
        slow = now_s - started_s >= CONFIG.slow_call_duration_s
        if permit.generation != self.era:
            self.totals["late"] += 1
        elif permit.probe:
            self.expire(now_s)
            if self.state != "HALF_OPEN" or self.probes.pop(permit, None) is None:
                self.totals["late"] += 1
                return
            self.count(failed or slow, slow)
            self.good += not (failed or slow)
            self.bad += failed or slow
            self.decide(now_s)
        elif self.state == "CLOSED":
            self.count(failed, slow)
            self.results.append((now_s, failed, slow))
            self.judge_window(now_s, failed or slow)

    def count(self, failed, slow):
        self.totals["failures" if failed else "successes"] += 1
        self.totals["slow"] += slow

    def judge_window(self, now_s, is_bad):
        window = self.in_window(now_s)
        if self.state != "CLOSED" or not is_bad or len(window) < 4:
            return
        failures = sum(failed for _, failed, _ in window)
        slow = sum(slow for _, _, slow in window)
        if failures / len(window) >= 0.5 or slow / len(window) >= 0.75:
            self.trip(now_s)

    def retry_after_s(self, now_s):
        if self.state == "OPEN":
            return max(0.0, self.open_until_s - now_s)
        if self.state == "FORCED_OPEN" and self.operator_until_s is not None:
            return max(0.0, self.operator_until_s - now_s)
        return None


class Pair:
    """A machine and its model, taken through the same steps; each step compares."""

    def __init__(self, machine_class):
        self.now_s = 0.0
        self.machine = machine_class(CONFIG, 0.0, lambda: DRAWN)
        self.model = Model()
        self.out = []

    def wait(self, quarters):
        self.now_s += quarters / 4

    def look(self):
        assert self.machine.rejects(self.now_s) == self.model.rejects(self.now_s)

    def ask(self):
        expected = self.model.admits(self.now_s)
        permit = self.machine.try_acquire(self.now_s)
        assert (permit is not None) == expected
        if permit is None:
            return
        assert permit.generation == self.model.era
        assert permit.started_s == self.now_s
        assert bool(permit.probe) == (self.model.state == "HALF_OPEN")
        if permit.probe:
            assert permit not in self.model.probes
            self.model.probes[permit] = self.now_s + CONFIG.probe_lease_s
        self.out.append(permit)

    def end(self, index, failed):
        permit = self.out.pop(index)
        self.model.result(permit, permit.started_s, self.now_s, failed)
        self.machine.record(permit, self.now_s, failed=failed)

    def end_twice(self, index, failed):
        """A result that comes again must change nothing."""
        permit = self.out[index]
        self.end(index, failed)
        if permit.probe:
            self.model.result(permit, permit.started_s, self.now_s, failed)
            self.machine.record(permit, self.now_s, failed=failed)

    def cancel(self, index):
        permit = self.out.pop(index)
        before = self.machine.state
        if permit.generation == self.model.era:
            self.model.probes.pop(permit, None)
        self.machine.release(permit)
        assert self.machine.state is before

    def force_open(self, quarters):
        until_s = None if quarters is None else self.now_s + quarters / 4
        self.model.operator_until_s = until_s
        self.model.enter("FORCED_OPEN", self.now_s)
        self.machine.force_open(self.now_s, until_s)

    def reset(self):
        self.model.operator_until_s = None
        self.model.openings = 0
        self.model.enter("CLOSED", self.now_s)
        self.machine.reset(self.now_s)

    def hasten(self):
        if self.model.state == "OPEN" and self.model.open_until_s > self.now_s:
            self.model.open_until_s = self.now_s
        self.machine.hasten(self.now_s)

    def expire(self):
        self.model.expire(self.now_s)
        self.machine.expire(self.now_s)

    def compare(self):
        snapshot, model = self.machine.snapshot(self.now_s), self.model
        assert snapshot.state.value == model.state == self.machine.state.value
        assert snapshot.generation == model.era
        window = model.in_window(self.now_s)
        assert snapshot.counts.calls == len(window)
        assert snapshot.counts.failures == sum(failed for _, failed, _ in window)
        assert snapshot.counts.slow == sum(slow for _, _, slow in window)
        calls = len(window) or 1
        assert snapshot.counts.failure_rate == snapshot.counts.failures / calls
        assert snapshot.counts.slow_call_rate == snapshot.counts.slow / calls
        for name, total in model.totals.items():
            assert getattr(snapshot, f"{name}_total") == total, name
        assert snapshot.last_change_s == model.since_s
        assert snapshot.retry_after_s == model.retry_after_s(self.now_s)
        assert len(model.probes) <= CONFIG.max_concurrent_probes

    def compare_changes(self):
        taken = [
            (one.old.value, one.new.value, one.at_s, one.counts.calls)
            for one in self.machine.take_transitions()
        ]
        assert taken == self.model.changes
        assert self.machine.take_transitions() == []
        self.model.changes.clear()

    def recover(self):
        """From anywhere, a healthy backend closes it within a bound, old probes hung or not."""
        if self.machine.state.value == "FORCED_OPEN":
            self.reset()
        end_s = self.now_s + CONFIG.probe_lease_s * 3 + CONFIG.longest_wait_s() + 1
        while self.machine.state.value != "CLOSED" and self.now_s < end_s:
            permit = self.machine.try_acquire(self.now_s)
            if permit is not None:
                self.machine.record(permit, self.now_s, failed=False)
            self.now_s += 0.25
        assert self.machine.state.value == "CLOSED"


def walk(pair: Pair, random: Random, steps: int) -> None:
    """Take so many steps; a good share of them leads where breakers open and close."""
    bad_share = random.choice((0.1, 0.5, 0.9))
    for _ in range(steps):
        draw = random.random()
        if draw < 0.2:
            pair.wait(random.choice((1, 1, 2, 3, 6, 9, 18, 24)))
        elif draw < 0.3:
            pair.look()
        elif draw < 0.6:
            pair.ask()
        elif draw < 0.93:
            step_of_a_call(pair, random, bad_share)
        elif draw < 0.95:
            pair.force_open(random.choice((None, 2, 8)))
        elif draw < 0.97:
            pair.reset()
        elif draw < 0.98:
            pair.hasten()
        else:
            pair.expire()
        pair.compare()
        if draw < 0.1:
            pair.compare_changes()
    pair.compare_changes()
    pair.recover()


def falls_again(pair: Pair, after_quarters: int, *, by_reset: bool) -> None:
    """Open it three times over, each soon after it closed, and once more after a while."""
    for pause in (0, 1, 2, after_quarters):
        pair.wait(pause)
        for _ in range(CONFIG.minimum_number_of_calls):
            pair.ask()
            pair.end(0, failed=True)
            pair.compare()
        assert pair.model.state == "OPEN"
        if by_reset:
            pair.reset()
            continue
        pair.wait(int((pair.model.open_until_s - pair.now_s) * 4))
        pair.look()
        for _ in range(CONFIG.required_successes_in_half_open):
            pair.ask()
            pair.end(0, failed=False)
            pair.compare()
        assert pair.model.state == "CLOSED"


def step_of_a_call(pair, random, bad_share):
    if not pair.out:
        return
    index = random.randrange(len(pair.out))
    draw = random.random()
    if draw < 0.15:
        pair.cancel(index)
    elif draw < 0.25:
        pair.end_twice(index, random.random() < bad_share)
    else:
        pair.end(index, random.random() < bad_share)
