"""Every error that `fallback` raises on purpose.

    FallbackError
    ├── RejectedLocally          we refused the call ourselves; says nothing about the dependency
    │   ├── CircuitOpenError         a breaker is open, or its probes are all taken
    │   ├── RampingUp                the dependency is back and not yet given this call
    │   ├── BulkheadFullError        too many calls in flight
    │   └── DeadlineExceeded         no time was left before the call began
    ├── DeadLettersFull          no room for another dead letter; a person must look
    └── SpoolError               the spool did not take the entries, or cannot say that it did
        ├── SpoolFull                quota, free space or memory are used up; come again later
        ├── AppendTimedOut           no answer from the disk in time; the outcome may be unknown
        ├── SpoolFailed              the disk failed twice; needs an operator and a restart
        ├── SpoolClosed              closed, or opened for draining only
        ├── SpoolLocked              another process has it open
        ├── TooManyLanes             as many lanes as configured are in use
        └── EntryTooLarge            can never be taken

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


class RampingUp(RejectedLocally):
    """The dependency is back, and is given its load step by step: not this call."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "ramping up")


class BulkheadFullError(RejectedLocally):
    """As many calls as `limit` allows are in flight."""

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(name, f"{limit} calls in flight")
        self.limit = limit


class DeadlineExceeded(RejectedLocally):
    """The request's time was used up before this call could begin."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "no time left")


class DeadLettersFull(FallbackError):
    """The box of dead letters holds as many as it may."""

    def __init__(self, letters: int, size: int) -> None:
        super().__init__(f"{letters} dead letters of {size} bytes together")
        self.letters = letters
        self.size = size


class SpoolError(FallbackError):
    """The spool did not take the entries."""


class SpoolFull(SpoolError):
    """There is no room now: neither on the disk, nor (`in_memory`) in the queue for the commit.

    `percent`: how full the spool is. From its `shed_percent` on it refuses `relaxed` entries,
    at 100 all of them.
    """

    def __init__(self, retry_after_s: float, *, percent: int, in_memory: bool = False) -> None:
        what = "too much waits for its commit" if in_memory else f"the spool is {percent} % full"
        super().__init__(what)
        self.retry_after_s = retry_after_s
        self.percent = percent
        self.in_memory = in_memory


class AppendTimedOut(SpoolError):
    """The deadline passed first. `may_be_stored`: the write was under way, and may succeed."""

    def __init__(self, timeout_s: float, *, may_be_stored: bool) -> None:
        outcome = "the outcome is unknown" if may_be_stored else "nothing was stored"
        super().__init__(f"no commit within {timeout_s} s: {outcome}")
        self.timeout_s = timeout_s
        self.may_be_stored = may_be_stored


class SpoolFailed(SpoolError):
    """The disk failed, and failed again on a new file. What is stored can still be read."""


class SpoolClosed(SpoolError):
    """The spool takes no entries: it is closed, or open for draining only."""


class SpoolLocked(SpoolError):
    """Another process has this spool open."""


class TooManyLanes(SpoolError):
    """A new lane, and `limit` are in use."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} lanes are in use")
        self.limit = limit


class EntryTooLarge(SpoolError):
    """An entry, or all entries of one append together, are larger than `limit` bytes."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"{size} bytes, at most {limit}")
        self.size = size
        self.limit = limit
