"""Keeps the mode's changes, logs them and publishes them to Kafka.

They go through the spool, so a change that happens while Kafka is dead arrives later. A
heartbeat follows every `heartbeat_s`, so that the tail of the topic holds every instance.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from fallback.mode import EventKind, Level, ModeEvent, ModeState, causes
from fallback.mode.override import Override
from pricing.errors import PricingError
from pricing.mode.as_json import cause_json, inputs_json, override_json
from pricing.ports import Publisher
from streaming.errors import StreamingError
from streaming.events.event_types import MODE_CHANGED, Event, new_event_id, rfc3339
from streaming.topics import SYSTEM_MODES

_log = structlog.get_logger(__name__)

_KEPT = 2_000
"""About 17 hours of a mode that changes as often as the shipped dwells allow, 63 s a pair."""
_WAITING_AT_MOST = 256
"""Beyond it the oldest is given up: where the spool takes nothing, the newest says more."""
_SOURCE = "/equilibrium/api"


class ModeJournal:
    """The changes of one instance, the newest first in `entries`. One event loop."""

    def __init__(self, instance: str, publisher: Publisher, *, now_ms: Callable[[], int]) -> None:
        self.instance = instance
        self.entries: deque[dict[str, Any]] = deque(maxlen=_KEPT)
        self._publisher = publisher
        self._now_ms = now_ms
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_WAITING_AT_MOST)
        self._has_news = asyncio.Event()
        self._state: ModeState | None = None
        self._override: Override | None = None
        self.since_ms = now_ms()

    def on_step(self, state: ModeState, seen_s: float) -> None:
        del seen_s
        self._state = state
        if not state.was_bounded:
            self._override = None

    def on_mode_event(self, event: ModeEvent, override: Override | None) -> None:
        self._override = override
        now_ms = self._now_ms()
        if event.kind is EventKind.MODE:
            self.since_ms = now_ms
        entry = self._entry(event.kind.value, event.old, event.new, now_ms)
        entry["causes"] = [cause_json(cause) for cause in event.causes]
        if event.input is not None:
            entry["input"] = event.input
        entry["previous_s"] = round(event.previous_s, 3)
        if override is not None:
            entry["override"] = override_json(override, event.new)
        self.entries.appendleft(entry)
        self._waiting.append(entry)
        self._has_news.set()
        _log_change(event, entry)

    def on_override_ended(self, override: Override) -> None:
        self._override = None
        _log.info("override expired", kind=override.kind.value, level=override.level.word)

    async def run(self, heartbeat_s: float = 60.0) -> None:
        """Publish what comes, until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_news.wait(), heartbeat_s)
            self._has_news.clear()
            if not self._waiting:
                self._beat()
            while self._waiting:
                await self._publish(self._waiting.popleft())

    def _beat(self) -> None:
        state = self._state
        if state is None:
            return
        entry = self._entry("heartbeat", state.effective, state.effective, self._now_ms())
        entry["causes"] = [cause_json(cause) for cause in causes(state)]
        if self._override is not None:
            entry["override"] = override_json(self._override, state.computed)
        self._waiting.append(entry)

    def _entry(self, kind: str, old: Level, new: Level, now_ms: int) -> dict[str, Any]:
        effective = new if kind == "mode" or self._state is None else self._state.effective
        return {
            "id": new_event_id(),
            "instance": self.instance,
            "kind": kind,
            "from": old.word,
            "to": new.word,
            "mode": effective.mode.value,
            "inputs": {} if self._state is None else inputs_json(self._state),
            "since": rfc3339(self.since_ms),
            "occurred_at": rfc3339(now_ms),
        }

    async def _publish(self, entry: dict[str, Any]) -> None:
        message = Event(
            id=entry["id"],
            type=MODE_CHANGED,
            source=_SOURCE,
            time_ms=self._now_ms(),
            key=self.instance,
            data={key: value for key, value in entry.items() if key != "id"},
        )
        try:
            await self._publisher.publish(SYSTEM_MODES, [message])
        except (PricingError, StreamingError) as error:
            _log.warning("a change of the mode was not published", error=str(error))


def _log_change(event: ModeEvent, entry: dict[str, Any]) -> None:
    log = _log.info
    if event.kind in (EventKind.BLIND, EventKind.FLAPPING) or event.new > event.old:
        log = _log.warning
    log(
        "system mode changed",
        kind=entry["kind"],
        old_level=entry["from"],
        new_level=entry["to"],
        mode=entry["mode"],
        input=event.input,
        causes=[f"{cause['input']}: {cause['value']}" for cause in entry["causes"]],
    )
