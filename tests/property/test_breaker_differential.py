"""The breaker against another implementation: the same events give the same verdicts.

The oracle has no leases and decides after all probes, so leases never end here and one probe
decides. It also judges the rates when a success comes in; ours opens on a bad result only, so
a trace ends where the oracle opens on a success.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from interlock import Config, Outcome
from interlock import State as OracleState
from interlock._state_machine import StateMachine
from interlock.window import WindowType

from fallback.breaker import BreakerConfig, Machine

OURS = BreakerConfig(
    window_s=4.0,
    buckets=4,
    minimum_number_of_calls=4,
    failure_rate_threshold=0.5,
    slow_call_rate_threshold=0.75,
    slow_call_duration_s=0.5,
    wait_duration_in_open_s=2.0,
    wait_growth=1.0,
    max_wait_duration_in_open_s=2.0,
    wait_jitter=0.0,
    permitted_calls_in_half_open=1,
    required_successes_in_half_open=1,
    max_concurrent_probes=1,
    probe_lease_s=1e9,
)
THEIRS = Config(
    failure_rate_threshold=0.5,
    minimum_number_of_calls=4,
    slow_call_rate_threshold=0.75,
    slow_call_duration_threshold=0.5,
    permitted_calls_in_half_open=1,
    max_concurrent_probes=1,
    wait_duration_in_open=2.0,
    window_type=WindowType.TIME_BASED,
    window_size=4,
)


class Clock:
    now_s = 0.0

    def monotonic(self):
        return self.now_s


class Pair:
    """Both breakers, fed the same events."""

    def __init__(self):
        self.clock = Clock()
        self.ours = Machine(OURS, 0.0, lambda: 0.5)
        self.theirs = StateMachine(config=THEIRS, clock=self.clock)
        self.calls = []

    def ask(self):
        permit = self.ours.try_acquire(self.clock.now_s)
        assert (permit is not None) == self.theirs.acquire()
        if permit is not None:
            self.calls.append((permit, self.theirs.generation))

    def end(self, index, failed):
        permit, era = self.calls.pop(index % len(self.calls))
        slow = self.clock.now_s - permit.started_s >= OURS.slow_call_duration_s
        was_closed = self.theirs.state is OracleState.CLOSED
        self.theirs.record(outcome(failed, slow), generation=era)
        self.ours.record(permit, self.clock.now_s, failed=failed)
        opened = was_closed and self.theirs.state is OracleState.OPEN
        return not (opened and not failed and not slow)

    def cancel(self, index):
        permit, era = self.calls.pop(index % len(self.calls))
        self.theirs.release_probe(generation=era)
        self.ours.release(permit)


def outcome(failed, slow):
    if failed:
        return Outcome.SLOW_FAILURE if slow else Outcome.FAILURE
    return Outcome.SLOW_SUCCESS if slow else Outcome.SUCCESS


steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 12)),
        st.tuples(st.just("ask"), st.just(0)),
        st.tuples(st.sampled_from(["good", "bad", "cancel"]), st.integers(0, 9)),
    ),
    max_size=120,
)


@settings(max_examples=500)
@given(steps)
def test_the_same_events_give_the_same_verdicts(trace):
    pair = Pair()
    for action, argument in trace:
        if action == "wait":
            pair.clock.now_s += argument / 4
        elif action == "ask":
            pair.ask()
        elif pair.calls and action == "cancel":
            pair.cancel(argument)
        elif pair.calls and not pair.end(argument, action == "bad"):
            return
        assert pair.ours.state.value.lower() == pair.theirs.state.value.lower()
