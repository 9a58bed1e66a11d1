"""A price out of the memo says, byte for byte, what the ordinary way says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pricing.api.http.raw_response import headers_of
from pricing.api.prices.rendering import text
from pricing.model import Source
from pricing.reading.answer import FallbackReason, Rendered, Via, caching_headers, state_answer
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
        ]
    ),
)
def test_text_of_the_memo_is_the_ordinary_text(name, tick_s, percent, share, mode, via, origin):
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

    rendered = Rendered(answer_at(0), mode, tick_ms)
    age_ms = int(share * rendered.steady_ms)
    answer = answer_at(age_ms)
    assert rendered.body(age_ms) == text(answer, mode)
    ordinary = caching_headers(answer, mode, tick_ms) | {"Content-Type": "application/json"}
    for _ in range(2):
        assert dict(headers_of(rendered.lines(age_ms, via))) == {
            name.lower().encode(): value.encode() for name, value in ordinary.items()
        }
