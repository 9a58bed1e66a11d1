"""Every error that `fallback` raises on purpose.

    FallbackError
    └── RejectedLocally          we refused the call ourselves; says nothing about the dependency
        ├── CircuitOpenError         a breaker is open, or its probes are all taken
        ├── BulkheadFullError        too many calls in flight
        └── DeadlineExceeded         no time was left before the call began

A call that was rejected locally was never made, so a retry elsewhere is safe, and no breaker
counts it.
"""

from __future__ import annotations


class FallbackError(Exception):
    """Base of the package's errors."""


class RejectedLocally(FallbackError):
    """The call was refused before it was made. `name` is what refused it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name


class CircuitOpenError(RejectedLocally):
    """The breaker admits no call now.

    `retry_after_s`: when it may admit one again; None while an operator holds it open without
    an end, or while every probe is taken.
    """

    def __init__(self, name: str, retry_after_s: float | None) -> None:
        super().__init__(name, "circuit open")
        self.retry_after_s = retry_after_s


class BulkheadFullError(RejectedLocally):
    """As many calls as `limit` allows are in flight."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(name, f"{limit} calls in flight")
        self.limit = limit


class DeadlineExceeded(RejectedLocally):
    """The request's time was used up before this call could begin."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "no time left")
