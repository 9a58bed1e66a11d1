"""Who did what, when, with what before and after: every action of an operator.

An entry goes through the spool to the topic `audit`, and from there into Postgres: it survives
with both of them dead. Where even the disk fails the action still holds, for an operator must
be able to act then; the entry is in the log, which is why it is logged in full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from pricing.access.auth import Principal
from pricing.errors import PricingError
from pricing.ports import Publisher
from streaming.errors import StreamingError
from streaming.events.event_types import AUDIT_RECORDED, Event, new_event_id, rfc3339
from streaming.topics import AUDIT

_log = structlog.get_logger(__name__)

_KEPT = 500


class Audit:
    """Records the actions taken at one instance; `recent` are the newest, first."""

    def __init__(self, instance: str, publisher: Publisher, *, now_ms: Callable[[], int]) -> None:
        self._instance = instance
        self._publisher = publisher
        self._now_ms = now_ms
        self.recent: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    async def record(
        self,
        who: Principal,
        action: str,
        target: str,
        *,
        before: Any = None,
        after: Any = None,
        reason: str | None = None,
        request_id: str | None = None,
    ) -> None:
        """Record an action. Never fails: it has been taken already.

        Args:
            who: The operator.
            action: From a small set, as `breaker.reset`.
            target: What it was done to.
            before: What held before, as JSON can say it.
            after: What holds now.
            reason: The operator's own words.
            request_id: Of the HTTP request; None at the command line.
        """
        now_ms = self._now_ms()
        entry = {
            "actor": who.actor,
            "action": action,
            "target": target,
            "before": before,
            "after": after,
            "reason": reason,
            "instance": self._instance,
            "request_id": request_id,
            "occurred_at": rfc3339(now_ms),
        }
        event = Event(
            id=new_event_id(),
            type=AUDIT_RECORDED,
            source="/equilibrium/api",
            time_ms=now_ms,
            key=self._instance,
            data=entry,
        )
        # Before the await: an operator who looks at once finds it, whatever the spool does.
        self.recent.appendleft({"id": event.id, **entry})
        _log.info("operator action", **{**entry, "event_id": event.id})
        try:
            await self._publisher.publish(AUDIT, [event])
        except (PricingError, StreamingError) as error:
            _log.error("audit write failed", error=str(error), **entry)
