"""A publisher that keeps what it is given, or fails as told."""

from __future__ import annotations

from collections.abc import Sequence

from pricing.ports import Receipt
from streaming.events.event_types import Event


class MemoryPublisher:
    """Keeps every batch. Raises `failure` while it is set, and keeps nothing then."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[Event]]] = []
        self.failure: Exception | None = None
        self.status: str = "sent"

    @property
    def events(self) -> list[Event]:
        return [event for _, batch in self.batches for event in batch]

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]:
        if self.failure is not None:
            raise self.failure
        self.batches.append((topic, list(events)))
        return [Receipt(event.id, self.status) for event in events]  # type: ignore[arg-type] # a test sets it
