"""Prices as JSON text: out of the memo where it can, else by a climb of the ladder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from pricing.answers import Answer, Rendered, body, state_answer
from pricing.api.parts import ApiParts
from pricing.local_zones import Held, Live
from pricing.mode.policy import ModePolicy
from pricing.model import MICRO, Zone


class PriceTexts:
    """The answers' bodies. What the memo holds is told without waiting and without a new text.

    The text of a state in the memo stays the same but for its age, as long as the age changes
    neither confidence nor freshness: it is made once, and kept beside the state.
    """

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._ladder = parts.ladder

    def remembered(self, zone: Zone, policy: ModePolicy) -> tuple[Rendered, Live, int] | None:
        """Text, origin and age in ms of a zone's price; None: it must be read."""
        held = self._ladder.remembered(zone, policy.read)
        if held is None or held.live is None:
            return None
        surge = policy.read.surge
        if surge.ages and held.state.multiplier_micro > MICRO:
            return None  # the price itself changes with the age
        age_ms = self._ladder.age_ms(held.state)
        rendered = held.rendered
        if rendered is None or not rendered.is_for(policy.level):
            rendered = self._render(zone, held, held.live, policy)
        return (rendered, held.live, age_ms) if age_ms <= rendered.steady_ms else None

    async def of_zones(self, zones: Sequence[Zone], policy: ModePolicy) -> dict[str, bytes]:
        """The bodies by zone; every zone gets one. Counts them as answered."""
        texts: dict[str, bytes] = {}
        told: list[tuple[Live, int]] = []
        others: list[Zone] = []
        for zone in zones:
            known = self.remembered(zone, policy)
            if known is None:
                others.append(zone)
            else:
                rendered, live, age_ms = known
                texts[zone.zone_id] = rendered.body(age_ms)
                told.append((live, age_ms))
        if told:
            self._parts.metrics.remembered_many(told)
        if others:
            answers = await self._ladder.prices(others, policy.read)
            self._parts.metrics.answered(answers)
            texts.update((answer.zone.zone_id, text(answer, policy.mode)) for answer in answers)
        return texts

    def _render(self, zone: Zone, held: Held, live: Live, policy: ModePolicy) -> Rendered:
        state, tick_ms = policy.read.surge.apply(held.state, 0), self._ladder.tick_ms
        answer = state_answer(
            zone,
            state,
            source=live.source,
            reason=live.reason,
            now_ms=state.window_end_ms,
            tick_ms=tick_ms,
        )
        rendered = held.rendered = Rendered(answer, policy.mode, tick_ms, key=policy.level)
        return rendered


def text(answer: Answer, mode: str) -> bytes:
    """One answer's body."""
    return orjson.dumps(body(answer, mode))


def array(texts: Iterable[bytes]) -> bytes:
    """A JSON array of bodies."""
    return b"[%b]" % b",".join(texts)
