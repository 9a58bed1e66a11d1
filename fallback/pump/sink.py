"""Where the pump sends what the spool holds, as the pump sees it: lanes, bytes, and failures.

A sink keeps the order within a lane, because the pump has one batch of each lane under way at a
time. What a lane's name and a body mean is the sink's own business.

    SinkFailure
    ├── RetryLater       nothing gets through now; the same batch again after a while
    ├── SinkReset        the sink has to begin anew, and does; the same batch again, at once
    ├── NeedsOperator    only a person can mend it: a group of lanes, or everything, waits
    └── Poison           the sink refuses this batch for what it holds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class SinkFailure(Exception):
    """A batch was not acknowledged.

    `reason` is a constant text that is safe to log. `code` is the other side's own number or
    word for it, where there is one. `may_be_delivered`: the outcome is unknown, so sending the
    batch again may repeat it. `alarm`: what a person must hear of, apart from the delay.
    """

    def __init__(
        self,
        reason: str,
        *,
        code: str = "",
        may_be_delivered: bool = False,
        alarm: str | None = None,
    ) -> None:
        super().__init__(f"{reason} ({code})" if code else reason)
        self.reason = reason
        self.code = code
        self.may_be_delivered = may_be_delivered
        self.alarm = alarm


class RetryLater(SinkFailure):
    """Nothing gets through now, for this lane at least."""


class SinkReset(SinkFailure):
    """What the sink was made of is used up; it makes itself anew, and the batch can go again."""


class NeedsOperator(SinkFailure):
    """Permissions, credentials, a policy, something missing: time alone does not mend it.

    `group` names what is affected, as `Sink.group_of` does; None: every lane.
    """

    def __init__(
        self, reason: str, *, group: str | None, code: str = "", may_be_delivered: bool = False
    ) -> None:
        super().__init__(reason, code=code, may_be_delivered=may_be_delivered)
        self.group = group


class Poison(SinkFailure):
    """The batch is refused for what it holds, and will be again.

    `certain_after`: how often the same batch must be refused in a row before that is believed.
    """

    def __init__(
        self, reason: str, *, code: str = "", may_be_delivered: bool = False, certain_after: int = 1
    ) -> None:
        super().__init__(reason, code=code, may_be_delivered=may_be_delivered)
        self.certain_after = certain_after


class Sink(Protocol):
    """Takes batches, lane by lane."""

    def group_of(self, lane: bytes) -> str:
        """What the lane shares its permissions and policies with."""
        ...

    async def send(self, lane: bytes, bodies: Sequence[bytes]) -> None:
        """Return once every body is delivered, in order; however long that takes.

        May be cancelled at any time; the outcome is unknown then. Raises `SinkFailure`.
        """
        ...

    async def diagnose(self, lane: bytes) -> SinkFailure | None:
        """Say why nothing gets through, by asking the other side anew. Bounded in time.

        None: it looks well.
        """
        ...

    def renew(self, reason: str) -> None:
        """Begin anew, although nothing failed: every batch under way ends in `SinkReset`."""
        ...
