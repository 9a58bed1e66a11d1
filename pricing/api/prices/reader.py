"""Reads prices for the API: out of the memo where it can, else from the ladder; counts them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from fallback.mode import Level
from pricing.api.prices.rendering import PriceTemplate, RenderedPrice
from pricing.metrics.reads import ReadMetrics
from pricing.mode.policy import ModePolicy
from pricing.model import MICRO, Source, Zone
from pricing.reading.answer import Answer, FallbackReason
from pricing.reading.ladder import Ladder, LadderRead
from pricing.reading.last_known import Found
from pricing.reading.surge_limit import REASON as MODE_LIMIT


class _Text(NamedTuple):
    """A zone's last template, and all that shaped it but the age."""

    found: Found
    level: Level
    template: PriceTemplate


class PriceReader:
    """Gives every known zone its price, rendered. One event loop.

    The text of a price is made once for each state of a zone and told from then on, for as long
    as only its age changes. One a zone is kept, the last: no more than the catalogue has zones.
    """

    def __init__(self, ladder: Ladder, metrics: ReadMetrics) -> None:
        self._ladder = ladder
        self._metrics = metrics
        self._texts: dict[str, _Text] = {}

    async def read(self, zone: Zone, policy: ModePolicy) -> RenderedPrice:
        """A zone's price under what held when the request came in; it counts as answered."""
        ladder = self._ladder
        now_ms = ladder.now_ms()
        found = ladder.remembered(zone.zone_id, ladder.memo_since_s(policy.read), now_ms)
        if found is not None:
            price = self._render(zone, found, policy, now_ms)
        else:
            read = await ladder.find((zone,), policy.read, past_memo=True)
            price = self._of_read(zone, read, policy, ladder.now_ms())
        self._metrics.answered(*_counted(price))
        return price

    async def read_many(self, zones: Sequence[Zone], policy: ModePolicy) -> dict[str, bytes]:
        """The bodies of prices by zone id, of every zone one; each counts as answered."""
        ladder = self._ladder
        since_s, now_ms = ladder.memo_since_s(policy.read), ladder.now_ms()
        prices: list[RenderedPrice] = []
        others: list[Zone] = []
        for zone in zones:
            found = ladder.remembered(zone.zone_id, since_s, now_ms)
            if found is None:
                others.append(zone)
            else:
                prices.append(self._render(zone, found, policy, now_ms))
        if others:
            read = await ladder.find(others, policy.read, past_memo=True)
            now_ms = ladder.now_ms()
            prices += [self._of_read(zone, read, policy, now_ms) for zone in others]
        # Most of a batch are of one tick and one origin: a few counts instead of hundreds.
        for counted, alike in groupby(map(_counted, prices)):
            self._metrics.answered(*counted, times=len(list(alike)))
        return {template.zone_id: template.body(age_ms) for template, age_ms, _ in prices}

    def _of_read(
        self, zone: Zone, read: LadderRead, policy: ModePolicy, now_ms: int
    ) -> RenderedPrice:
        found = read.found.get(zone.zone_id)
        if found is not None:
            return self._render(zone, found, policy, now_ms)
        answer = self._ladder.answer(zone, read, policy.read, now_ms)
        # A default fare is of now, always: its text is never asked for again.
        template = PriceTemplate(answer, policy.mode, self._ladder.tick_ms)
        return template, answer.age_ms, answer.via

    def _render(self, zone: Zone, found: Found, policy: ModePolicy, now_ms: int) -> RenderedPrice:
        """What was found; an `Answer` is made only where its text is not there yet."""
        age_ms = max(0, now_ms - found.state.window_end_ms)
        text = self._texts.get(zone.zone_id)
        if (
            text is not None
            and text.level is policy.level
            and (text.found is found or _tell_the_same(text.found, found))
            and age_ms <= text.template.steady_ms
        ):
            return text.template, age_ms, found.via
        answer = self._ladder.answer_of(zone, found, policy.read, now_ms)
        template = PriceTemplate(answer, policy.mode, self._ladder.tick_ms)
        if age_ms <= template.steady_ms and not _fades(answer, policy):
            self._texts[zone.zone_id] = _Text(found, policy.level, template)
        return template, age_ms, found.via


def _counted(price: RenderedPrice) -> tuple[Source, FallbackReason | None, int | None]:
    """What metrics tell of a price. A default fare has no age."""
    template, age_ms, _ = price
    return template.source, template.reason, age_ms if template.has_age else None


def _tell_the_same(one: Found, other: Found) -> bool:
    """Of one zone; a version of its state is written once."""
    return (
        one.state.window_end_ms == other.state.window_end_ms
        and one.source is other.source
        and one.reason is other.reason
    )


def _fades(answer: Answer, policy: ModePolicy) -> bool:
    """Whether the price itself changes with the age of its state."""
    if not policy.read.surge.ages:
        return False
    return answer.multiplier_micro > MICRO or MODE_LIMIT in answer.reasons
