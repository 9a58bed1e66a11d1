"""Prices as JSON text: out of the memo where it can, else by a climb of the ladder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from pricing.api.http.dependencies import ApiDependencies
from pricing.mode.policy import ModePolicy
from pricing.model import MICRO, Zone, ZoneState
from pricing.reading.answer import Answer, Rendered, Via, body, state_answer
from pricing.reading.ladder import LadderRead
from pricing.reading.last_known import Held, LiveState

RenderedPrice = tuple[Rendered, LiveState, int, Via]
"""A price whose text was there, or will be there the next time; its origin, its age in ms."""


class PriceTexts:
    """The answers' bodies. What the memo holds is told without waiting and without a new text.

    The text of a state in the memo stays the same but for its age, as long as the age changes
    neither confidence nor freshness: it is made once, and kept beside the state.
    """

    def __init__(self, parts: ApiDependencies) -> None:
        self._parts = parts
        self._ladder = parts.ladder

    def remembered(self, zone: Zone, policy: ModePolicy) -> RenderedPrice | None:
        """A zone's price without waiting for anything; None: it must be read."""
        ladder = self._ladder
        held = ladder.remembered(zone, ladder.memo_since_s(policy.read))
        return None if held is None else self._known(zone, held, policy, ladder.now_ms())

    async def read(self, zone: Zone, policy: ModePolicy) -> RenderedPrice | Answer:
        """A zone's price by a climb of the ladder."""
        climb = await self._ladder.find((zone,), policy.read)
        known = self._just_found(zone, climb, policy, self._ladder.now_ms())
        return known or self._ladder.answers((zone,), climb, policy.read)[0]

    async def of_zones(self, zones: Sequence[Zone], policy: ModePolicy) -> dict[str, bytes]:
        """The bodies by zone; every zone gets one. Counts them as answered."""
        ladder, metrics = self._ladder, self._parts.metrics
        since_s, now_ms = ladder.memo_since_s(policy.read), ladder.now_ms()
        texts: dict[str, bytes] = {}
        told: list[tuple[LiveState, int]] = []
        open_zones: list[Zone] = []
        for zone in zones:
            held = ladder.remembered(zone, since_s)
            known = None if held is None else self._known(zone, held, policy, now_ms)
            if known is None:
                open_zones.append(zone)
            else:
                rendered, live, age_ms, _ = known
                texts[zone.zone_id] = rendered.body(age_ms)
                told.append((live, age_ms))
        if open_zones:
            told += await self._read_many(open_zones, policy, texts)
        metrics.reads.remembered_many(told)
        return texts

    async def _read_many(
        self, zones: Sequence[Zone], policy: ModePolicy, texts: dict[str, bytes]
    ) -> list[tuple[LiveState, int]]:
        """Read what is open and add its texts; returns origin and age of those not counted yet."""
        climb = await self._ladder.find(zones, policy.read)
        now_ms = self._ladder.now_ms()
        told: list[tuple[LiveState, int]] = []
        others: list[Zone] = []
        for zone in zones:
            known = self._just_found(zone, climb, policy, now_ms)
            if known is None:
                others.append(zone)
            else:
                rendered, live, age_ms, _ = known
                texts[zone.zone_id] = rendered.body(age_ms)
                told.append((live, age_ms))
        answers = self._ladder.answers(others, climb, policy.read)
        self._parts.metrics.reads.answered(answers)
        texts.update((answer.zone.zone_id, text(answer, policy.mode)) for answer in answers)
        return told

    def _just_found(
        self, zone: Zone, climb: LadderRead, policy: ModePolicy, now_ms: int
    ) -> RenderedPrice | None:
        found = climb.found.get(zone.zone_id)
        held = None if found is None else self._ladder.just_found(zone, found)
        if found is None or held is None:
            return None
        return self._known(zone, held, policy, now_ms, found.via)

    def _known(
        self, zone: Zone, held: Held, policy: ModePolicy, now_ms: int, via: Via = Via.MEMO
    ) -> RenderedPrice | None:
        """What is held as a text; None where more than its age changes with the age."""
        rendered, live = held.rendered, held.live
        if live is None:
            return None
        if rendered is None or rendered.key != policy.level:
            rendered = held.rendered = self._render(zone, held.state, live, policy)
        age_ms = now_ms - held.state.window_end_ms
        if age_ms > rendered.steady_ms:
            return None
        return rendered, live, max(0, age_ms), via

    def _render(
        self, zone: Zone, state: ZoneState, live: LiveState, policy: ModePolicy
    ) -> Rendered:
        surge, tick_ms = policy.read.surge, self._ladder.tick_ms
        answer = state_answer(
            zone,
            surge.apply(state, 0),
            source=live.source,
            reason=live.reason,
            now_ms=state.window_end_ms,
            tick_ms=tick_ms,
        )
        fades = surge.ages and state.multiplier_micro > MICRO
        return Rendered(answer, policy.mode, tick_ms, key=policy.level, is_steady=not fades)


def text(answer: Answer, mode: str) -> bytes:
    """One answer's body."""
    return orjson.dumps(body(answer, mode))


def array(texts: Iterable[bytes]) -> bytes:
    """A JSON array of bodies."""
    return b"[%b]" % b",".join(texts)
