"""Who may send, and when. Time is a number here."""

from __future__ import annotations

import pytest

from fallback.pump import PumpConfig
from fallback.pump.gate import EVERYTHING, Gate, Go, Wait
from fallback.pump.sink import NeedsOperator, RetryLater, SinkReset

CONFIG = PumpConfig(
    stall_s=1, retry_s=0.1, retry_most_s=2, parked_retry_s=5, parked_retry_most_s=60
)
A, B = b"a/0", b"b/0"
RETRY = RetryLater("down")
RESET = SinkReset("gap")


@pytest.fixture
def gate() -> Gate:
    return Gate(CONFIG, random=lambda: 1.0)


def fail(gate: Gate, lane: bytes, failure, now_s: float) -> None:
    gate.started(lane, now_s)
    gate.failed(lane, failure, now_s)


def test_lane_that_did_not_fail_may_send_a_whole_batch(gate):
    assert gate.ask(A, "a", 0) == Go(CONFIG.batch_records)


def test_failed_lane_waits_longer_each_time_and_others_do_not(gate):
    waits = []
    for now_s in (0, 10, 20, 30, 40, 50, 60):
        fail(gate, A, RETRY, now_s)
        waits.append(round(gate.peek(A, "a", now_s).seconds, 3))
        assert isinstance(gate.peek(B, "b", now_s), Go)
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]


def test_lane_after_a_reset_may_go_on_at_once_but_only_the_first_time(gate):
    fail(gate, A, RESET, 0)
    assert isinstance(gate.ask(A, "a", 0), Go)
    fail(gate, A, RESET, 0)
    assert isinstance(gate.ask(A, "a", 0), Wait)


def test_success_ends_the_waits(gate):
    fail(gate, A, RETRY, 0)
    gate.started(A, 0.2)
    gate.succeeded(A, "a", 0.3)
    fail(gate, A, RETRY, 1)
    assert gate.peek(A, "a", 1) == Wait(pytest.approx(0.1))


def test_outage_begins_when_nothing_gets_through_for_the_stall_time(gate):
    gate.started(A, 0)
    assert not gate.tick(0.9)
    assert gate.tick(1.0)
    assert gate.is_out
    assert not gate.tick(2.0)
    assert gate.outage_s(3.0) == 3.0


def test_one_stuck_lane_is_no_outage_while_another_gets_through(gate):
    gate.started(A, 0)
    for now_s in (0.5, 1.0, 1.5, 2.0):
        gate.started(B, now_s)
        gate.succeeded(B, "b", now_s)
        assert not gate.tick(now_s)
    assert gate.stuck_lanes(2.0, 1.0) == [A]


def test_idle_lanes_make_no_outage(gate):
    assert not gate.tick(1_000)


def test_in_an_outage_one_lane_at_a_time_sends_a_small_batch(gate):
    gate.started(A, 0)
    gate.tick(1)
    assert gate.ask(B, "b", 1) == Go(CONFIG.probe_records)
    gate.started(B, 1)
    assert isinstance(gate.ask(b"c/0", "c", 1.5), Wait)
    # The probe pends as well: it stands for itself, and the next lane may try.
    assert gate.ask(b"c/0", "c", 2.0) == Go(CONFIG.probe_records)


def test_first_success_ends_the_outage_and_tells_its_length(gate):
    gate.started(A, 0)
    gate.tick(1)
    assert gate.succeeded(A, "a", 7) == 7
    assert not gate.is_out
    assert gate.ask(B, "b", 7) == Go(CONFIG.batch_records)
    assert gate.succeeded(A, "a", 8) is None


def test_group_that_needs_an_operator_waits_and_tries_with_one_lane(gate):
    denied = NeedsOperator("denied", group="a")
    fail(gate, A, denied, 0)
    assert isinstance(gate.peek(b"a/1", "a", 4.9), Wait)
    assert isinstance(gate.peek(B, "b", 0), Go)
    assert gate.ask(b"a/1", "a", 5) == Go(CONFIG.probe_records)
    assert isinstance(gate.ask(A, "a", 5), Wait)
    fail(gate, b"a/1", denied, 5)
    assert isinstance(gate.peek(A, "a", 14.9), Wait)
    assert isinstance(gate.peek(A, "a", 15), Go)
    gate.started(A, 15)
    gate.succeeded(A, "a", 15)
    assert gate.parked == {}


def test_what_concerns_all_lanes_parks_them_all(gate):
    fail(gate, A, NeedsOperator("password", group=None), 0)
    assert list(gate.parked) == [EVERYTHING]
    assert isinstance(gate.peek(B, "b", 1), Wait)
    assert gate.ask(B, "b", 5) == Go(CONFIG.probe_records)
    gate.succeeded(B, "b", 5)
    assert isinstance(gate.peek(A, "a", 5), Go)


def test_probe_that_ends_without_a_word_leaves_its_place(gate):
    fail(gate, A, NeedsOperator("denied", group="a"), 0)
    gate.ask(A, "a", 5)
    gate.ended(A)
    assert isinstance(gate.ask(b"a/1", "a", 5), Go)
