"""The breaker against a model of its own: every state, count and admission is predicted."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fallback.breaker import Machine
from tests.support.breaker_model import Pair

INDEX = st.integers(0, 1_000_000)


class BreakerMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.pair = Pair(Machine)

    def index(self, drawn):
        return drawn % len(self.pair.out)

    @rule(quarters=st.integers(1, 40))
    def time_goes_by(self, quarters):
        self.pair.wait(quarters)

    @rule()
    def a_call_asks_for_leave(self):
        self.pair.ask()

    @rule()
    def a_call_looks_whether_it_would_be_admitted(self):
        self.pair.look()

    @precondition(lambda self: self.pair.out)
    @rule(drawn=INDEX, failed=st.booleans())
    def a_call_ends(self, drawn, failed):
        self.pair.end(self.index(drawn), failed)

    @precondition(lambda self: self.pair.out)
    @rule(drawn=INDEX, failed=st.booleans())
    def a_result_comes_twice(self, drawn, failed):
        self.pair.end_twice(self.index(drawn), failed)

    @precondition(lambda self: self.pair.out)
    @rule(drawn=INDEX)
    def a_call_is_cancelled(self, drawn):
        self.pair.cancel(self.index(drawn))

    @rule(quarters=st.none() | st.integers(1, 40))
    def an_operator_forces_it_open(self, quarters):
        self.pair.force_open(quarters)

    @rule()
    def an_operator_resets(self):
        self.pair.reset()

    @rule()
    def the_dependency_is_seen_to_be_back(self):
        self.pair.hasten()

    @rule()
    def the_owner_lets_things_expire(self):
        self.pair.expire()

    @invariant()
    def it_is_what_the_model_says(self):
        self.pair.compare()

    def teardown(self):
        if len(self.pair.model.changes) <= 64:
            self.pair.compare_changes()
        self.pair.recover()


BreakerMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=60)
TestBreaker = BreakerMachine.TestCase
