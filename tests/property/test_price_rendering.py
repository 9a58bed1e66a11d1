"""A text that is kept says, byte for byte, what one made anew at that age would say."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from pricing.api.prices.rendering import PriceTemplate, body
from pricing.model import Source
from pricing.reading.answer import FallbackReason, Via, state_answer
from tests.support.api import zone
from tests.support.zone_states import TICK_MS, zone_state

NAMES = st.text(max_size=20) | st.just('"age_ms":8888777766665555,') | st.just("é \\ \u2028")


@given(
    name=NAMES,
    tick_s=st.integers(1, 60),
    percent=st.integers(0, 100),
    share=st.floats(0, 1),
    mode=st.sampled_from(["normal", "degraded", "emergency"]),
    via=st.sampled_from(Via),
    origin=st.sampled_from(
        [
            (Source.REDIS, None),
            (Source.DATABASE, FallbackReason.REDIS_TIMEOUT),
            (Source.DATABASE, FallbackReason.BREAKER_OPEN),
            (Source.STALE_CACHE, FallbackReason.ALL_SYSTEMS_UNAVAILABLE),
        ]
    ),
)
def test_kept_text_is_the_text_of_its_age(name, tick_s, percent, share, mode, via, origin):
    place, tick_ms = zone(name=name), tick_s * 1000
    state = zone_state("z1", confidence_percent=percent)
    source, reason = origin

    def answer_at(age_ms):
        return state_answer(
            place,
            state,
            source=source,
            reason=reason,
            now_ms=TICK_MS + age_ms,
            tick_ms=tick_ms,
            via=via,
        )

    kept = PriceTemplate(answer_at(0), mode, tick_ms)
    age_ms = int(share * kept.steady_ms)
    answer = answer_at(age_ms)
    anew = PriceTemplate(answer, mode, tick_ms)
    assert kept.body(age_ms) == anew.body(age_ms) == orjson.dumps(body(answer, mode))
    assert kept.etag == anew.etag
    for _ in range(2):
        assert kept.header_lines(age_ms, via) == anew.header_lines(age_ms, via)
