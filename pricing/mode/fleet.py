"""Knows what mode every instance is in, from the tail of the topic `system-modes`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from streaming.consuming.records import ConsumedRecord
from streaming.errors import BrokerError, InvalidMessage
from streaming.events.codec import decode
from streaming.events.event_types import ModeChangedV1, rfc3339, to_ms

_log = structlog.get_logger(__name__)

_READ_S = 2.0
"""Deadline of one read of the topic."""
_EVERY_S = 3.0
_LONGEST_WAIT_S = 30.0
_GONE_MS = 180_000
"""An instance that missed three heartbeats is no part of the fleet any more."""
_INSTANCES_AT_MOST = 1_000
"""Names come from a topic that others write to: without a bound, one of them could fill memory."""


class TopicTail(Protocol):
    """Reads on at the end of a topic."""

    async def read(self, timeout_s: float) -> Sequence[ConsumedRecord]:
        """Give the records since the last time. Raises `BrokerError`."""
        ...


class Fleet:
    """The last known mode of every instance, also while Kafka is away. One event loop.

    `on_read` is called after each read of the topic, with its error or None.
    """

    def __init__(
        self,
        tail: TopicTail,
        *,
        now_ms: Callable[[], int],
        on_read: Callable[[BrokerError | None], None] = lambda _: None,
    ) -> None:
        self._tail = tail
        self._now_ms = now_ms
        self._on_read = on_read
        self._last: dict[str, tuple[int, dict[str, Any]]] = {}
        self.read_at_ms: int | None = None
        """When Kafka was last read; None: never."""

    def instances(self) -> list[dict[str, Any]]:
        """The instances whose last event is younger than three minutes, by name."""
        now_ms = self._now_ms()
        return [
            {**body, "age_s": round(max(0, now_ms - at_ms) / 1000, 1)}
            for _, (at_ms, body) in sorted(self._last.items())
            if now_ms - at_ms < _GONE_MS
        ]

    def note(self, at_ms: int, body: dict[str, Any]) -> None:
        """Keep an instance's mode as of `at_ms`, unless a newer one is known."""
        known = self._last.get(body["instance"])
        if known is None and len(self._last) >= _INSTANCES_AT_MOST:
            oldest = min(self._last, key=lambda name: self._last[name][0])
            del self._last[oldest]
        if known is None or at_ms >= known[0]:
            self._last[body["instance"]] = (at_ms, body)

    async def run(self) -> None:
        """Follow the topic until cancelled; waits longer and longer while Kafka is away."""
        wait_s = _EVERY_S
        while True:
            try:
                for record in await self._tail.read(_READ_S):
                    self._take(record)
            except BrokerError as error:
                _log.info("fleet topic read failed", error=str(error))
                self._on_read(error)
                wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            else:
                self._on_read(None)
                wait_s = _EVERY_S
                self.read_at_ms = self._now_ms()
            await asyncio.sleep(wait_s)

    def _take(self, record: ConsumedRecord) -> None:
        try:
            payload = decode(record).payload
        except InvalidMessage as error:
            _log.warning("mode event was unreadable", error=str(error))
            return
        if not isinstance(payload, ModeChangedV1) or payload.kind == "computed":
            return  # under an override, the computed level is not the one in effect
        body = {
            "instance": payload.instance,
            "mode": payload.mode,
            "level": payload.new,
            "since": rfc3339(to_ms(payload.since)),
            "causes": payload.causes,
            "override": payload.override,
        }
        # A tail starts anywhere and partitions interleave, so events may come out of order.
        self.note(to_ms(payload.occurred_at), body)
