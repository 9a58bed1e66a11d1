from __future__ import annotations

from pricing.model import Freshness, Source
from pricing.reading.answer import FallbackReason, default_answer, state_answer
from tests.support.api import NOW_MS, zone
from tests.support.zone_states import TICK_MS, zone_state

TICK = 5_000


def test_state_from_the_future_is_of_age_zero():
    answer = state_answer(
        zone(),
        zone_state(),
        source=Source.REDIS,
        reason=None,
        now_ms=TICK_MS - 400,
        tick_ms=TICK,
    )
    assert answer.age_ms == 0


def test_default_fare_is_trusted_least_and_is_of_now():
    answer = default_answer(zone(), reason=FallbackReason.ALL_SYSTEMS_FAILED, now_ms=NOW_MS)
    assert (answer.source, answer.freshness) == (Source.DEFAULT, Freshness.DEFAULT)
    assert (answer.as_of_ms, answer.age_ms, answer.confidence_percent) == (NOW_MS, 0, 10)
    assert answer.policy_version is None
