"""A cap on calls in flight, without a queue: a full bulkhead rejects at once.

Queues are where an overload lives on after its cause has gone, so there is none here.
"""

from __future__ import annotations

from types import TracebackType

from fallback.errors import BulkheadFullError


class Bulkhead:
    """Counts the calls in flight of one kind; `with bulkhead:` around a call. One event loop.

    Raises `BulkheadFullError` on entry when `limit` calls are in flight. A new `limit` takes
    effect for the next call; those in flight finish.
    """

    __slots__ = ("in_flight", "limit", "name", "rejected_total")

    def __init__(self, name: str, limit: int) -> None:
        if limit < 0:
            raise ValueError(f"limit={limit!r} is out of range")
        self.name = name
        self.limit = limit
        self.in_flight = 0
        self.rejected_total = 0

    def __enter__(self) -> None:
        if self.in_flight >= self.limit:
            self.rejected_total += 1
            raise BulkheadFullError(self.name, self.limit)
        self.in_flight += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.in_flight -= 1
