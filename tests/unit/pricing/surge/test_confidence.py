import pytest

from pricing.model import Freshness, Signal
from pricing.surge.confidence import confidence_at, confidence_of, freshness_at


@pytest.mark.parametrize(
    ("counted", "age_s", "expected"),
    [
        (20, 0, 100),
        (500, 15, 100),
        (20, 37.5, 90),
        (20, 60, 80),
        (20, 300, 40),
        (1, 0, 52),
        (10, 60, 60),
        (0, 0, 50),
        (20, 3_600, 10),
        (0, 3_600, 10),
        (20, 86_400, 10),
        (20, -5, 100),
    ],
)
def test_confidence_follows_the_specified_examples(counted, age_s, expected):
    percent = confidence_of(counted, 0, Signal.LIVE)
    assert confidence_at(percent, int(age_s * 1000)) == expected
    assert confidence_of(0, counted, Signal.LIVE) == percent


@pytest.mark.parametrize("signal", [Signal.HELD, Signal.SILENT])
def test_confidence_is_halved_without_a_live_signal(signal):
    assert confidence_of(20, 0, signal) == 50
    assert confidence_of(1, 0, signal) == 26


@pytest.mark.parametrize(
    ("age_ms", "expected"),
    [
        (0, Freshness.REAL_TIME),
        (15_000, Freshness.REAL_TIME),
        (15_001, Freshness.STALE),
        (300_000, Freshness.STALE),
        (300_001, Freshness.VERY_STALE),
    ],
)
def test_freshness_changes_at_three_ticks_and_five_minutes(age_ms, expected):
    assert freshness_at(age_ms, 5_000) is expected
