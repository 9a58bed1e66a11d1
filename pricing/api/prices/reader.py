"""Reads prices for the API: out of the memo where it can, else from the ladder; counts them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fallback.mode import Level
from pricing.api.prices.rendering import PriceTemplate, RenderedPrice
from pricing.metrics.reads import ReadMetrics
from pricing.mode.policy import ModePolicy
from pricing.model import MICRO, Source, Zone
from pricing.reading.answer import Answer, FallbackReason
from pricing.reading.ladder import Found, Ladder
from pricing.reading.surge_limit import REASON as MODE_LIMIT

_Key = tuple[int, Source, FallbackReason | None, Level]
"""All that shapes a zone's text but its age: version of the state, origin, level of the mode."""


class PriceReader:
    """Gives every known zone its price, as bytes. One event loop.

    The text of a price is made once for each state of a zone and told from then on, for as long
    as only its age changes. One a zone is kept, the last: no more than the catalogue has zones.
    """

    def __init__(self, ladder: Ladder, metrics: ReadMetrics) -> None:
        self._ladder = ladder
        self._metrics = metrics
        self._texts: dict[str, tuple[_Key, PriceTemplate]] = {}

    async def read(self, zone: Zone, policy: ModePolicy) -> RenderedPrice:
        """A zone's price under what held when the request came in; it counts as answered."""
        ladder = self._ladder
        now_ms = ladder.now_ms()
        found = ladder.remembered(zone.zone_id, ladder.memo_since_s(policy.read), now_ms)
        if found is not None:
            price = self._of_memo(zone, found, policy, now_ms)
        else:
            (answer,) = await ladder.prices((zone,), policy.read, past_memo=True)
            price = self._of_answer(answer, policy)
        self._metrics.answered(*price.counted)
        return price

    async def read_many(self, zones: Sequence[Zone], policy: ModePolicy) -> dict[str, bytes]:
        """The bodies of prices by zone id, of every zone one; each counts as answered."""
        ladder = self._ladder
        since_s, now_ms = ladder.memo_since_s(policy.read), ladder.now_ms()
        prices: dict[str, RenderedPrice] = {}
        others: list[Zone] = []
        for zone in zones:
            found = ladder.remembered(zone.zone_id, since_s, now_ms)
            if found is None:
                others.append(zone)
            else:
                prices[zone.zone_id] = self._of_memo(zone, found, policy, now_ms)
        if others:
            for answer in await ladder.prices(others, policy.read, past_memo=True):
                prices[answer.zone.zone_id] = self._of_answer(answer, policy)
        # Most of a batch are of one tick and one origin: a few counts instead of hundreds.
        for counted, times in Counter(price.counted for price in prices.values()).items():
            self._metrics.answered(*counted, times)
        return {zone_id: price.body for zone_id, price in prices.items()}

    def _of_memo(self, zone: Zone, found: Found, policy: ModePolicy, now_ms: int) -> RenderedPrice:
        """What the memo holds; an `Answer` is made only where its text is not there yet."""
        as_of_ms = found.state.window_end_ms
        key = (as_of_ms, found.source, found.reason, policy.level)
        age_ms = max(0, now_ms - as_of_ms)
        template = self._known(zone.zone_id, key, age_ms)
        if template is None:
            answer = self._ladder.answer(zone, found, policy.read, now_ms)
            template = self._make(answer, key, policy)
        return RenderedPrice(template, age_ms, found.via)

    def _of_answer(self, answer: Answer, policy: ModePolicy) -> RenderedPrice:
        key = (answer.as_of_ms, answer.source, answer.fallback_reason, policy.level)
        template = self._known(answer.zone.zone_id, key, answer.age_ms)
        if template is None:
            template = self._make(answer, key, policy)
        return RenderedPrice(template, answer.age_ms, answer.via)

    def _known(self, zone_id: str, key: _Key, age_ms: int) -> PriceTemplate | None:
        known = self._texts.get(zone_id)
        if known is None or known[0] != key or age_ms > known[1].steady_ms:
            return None
        return known[1]

    def _make(self, answer: Answer, key: _Key, policy: ModePolicy) -> PriceTemplate:
        template = PriceTemplate(answer, policy.mode, self._ladder.tick_ms)
        # A default fare is of now, always: its text is never asked for again.
        is_steady = answer.source is not Source.DEFAULT and answer.age_ms <= template.steady_ms
        if is_steady and not _fades(answer, policy):
            self._texts[answer.zone.zone_id] = (key, template)
        return template


def _fades(answer: Answer, policy: ModePolicy) -> bool:
    """Whether the price itself changes with the age of its state."""
    if not policy.read.surge.ages:
        return False
    return answer.multiplier_micro > MICRO or MODE_LIMIT in answer.reasons
