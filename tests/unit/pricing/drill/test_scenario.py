from __future__ import annotations

from dataclasses import replace

import pytest

from pricing.drill.load import Answers
from pricing.drill.scenario import SCENARIOS, DrillOutcome, back_within_s, promises

GOOD = DrillOutcome(
    answered=1_000,
    acknowledged=500,
    modes=["normal", "degraded", "emergency", "degraded", "normal"],
    changes=4,
    detected_after_s=3.0,
    normal_after_s=50.0,
)


def broken(name: str, **change: object) -> list[str]:
    """The promises that such an outcome breaks."""
    found = promises(SCENARIOS[name], replace(GOOD, **change), dwell_s=10)
    return [promise.text for promise in found if not promise.is_kept]


@pytest.mark.parametrize("name", SCENARIOS)
def test_good_outcome_keeps_every_promise(name):
    assert broken(name) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"unanswered": 1}, "every price request is answered"),
        ({"answered": 0}, "every price request is answered"),
        ({"lost": 1}, "no acknowledged event is lost"),
        ({"detected_after_s": None}, "the mode says emergency or worse within 15 s"),
        ({"detected_after_s": 15.1}, "the mode says emergency or worse within 15 s"),
        ({"modes": ["normal", "degraded"]}, "the mode says emergency or worse within 15 s"),
        ({"normal_after_s": None}, "normal again by itself within 149 s"),
        ({"normal_after_s": 149.1}, "normal again by itself within 149 s"),
        ({"late_s": 2.1}, "each level is left within 12 s of its last reason"),
    ],
)
def test_each_promise_can_be_broken(change, text):
    assert broken("all", **change) == [text]


def test_flapping_mode_breaks_the_promise_of_the_flap_drill_only():
    text = "the mode does not flap: at most 4 changes"
    assert broken("flap", changes=5) == [text]
    assert broken("redis", changes=5) == []


def test_flapping_is_drilled_with_a_dwell_that_rides_it_out():
    for scenario in SCENARIOS.values():
        assert scenario.times == 1 or scenario.dwell_s > scenario.up_s


def test_failure_is_named():
    outcome = replace(GOOD, unanswered=2, first_failure="ReadTimeout")
    assert "ReadTimeout" in promises(SCENARIOS["redis"], outcome, dwell_s=10)[0].seen


def test_longest_way_back_grows_with_the_dwell():
    assert back_within_s(10) == 149
    assert back_within_s(60) == 349


def test_percentiles_are_of_what_was_answered():
    answers = Answers(latencies_s=[0.001 * number for number in range(1, 101)])
    assert (answers.percentile_ms(0.5), answers.percentile_ms(0.99)) == (50.0, 99.0)
    assert Answers().percentile_ms(0.5) == 0.0
