"""Which lane may send now. Pure: a state and its rules, no waiting.

A failure makes its own lane wait, longer each time. When nothing at all gets through for
`stall_s`, that is an outage: from then on one lane at a time sends, and a small batch only. The
first success ends it. What needs an operator parks a group of lanes, or all of them; one of them
tries again every now and then, so that what was mended starts to flow by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fallback.pump.backoff import Backoff
from fallback.pump.config import PumpConfig
from fallback.pump.sink import NeedsOperator, SinkFailure, SinkReset

EVERYTHING = ""
"""The group that holds every lane."""


class Go(NamedTuple):
    """Leave to send."""

    max_records: int


class Wait(NamedTuple):
    """Not now; ask again after so long, or when the gate changed."""

    seconds: float


@dataclass(slots=True)
class Parked:
    """A group that waits for a person."""

    failure: SinkFailure
    since_s: float
    retry_at_s: float
    backoff: Backoff
    probe: bytes | None = None
    """The lane that tries whether it flows again."""


@dataclass(slots=True)
class _Outage:
    since_s: float
    retry_at_s: float
    backoff: Backoff
    probe: bytes | None = None
    probe_s: float = 0.0


@dataclass(slots=True)
class _Failing:
    """A lane whose last batch failed."""

    since_s: float
    retry_at_s: float
    backoff: Backoff
    failure: SinkFailure


class Gate:
    """Leave to send, lane by lane. Times are monotonic seconds."""

    def __init__(self, config: PumpConfig, random: Callable[[], float]) -> None:
        self._config = config
        self._random = random
        self._outage: _Outage | None = None
        self._failing: dict[bytes, _Failing] = {}
        self._last_success_s = float("-inf")
        self.in_flight: dict[bytes, float] = {}
        """Lanes with a batch under way, and since when."""
        self.parked: dict[str, Parked] = {}

    @property
    def is_out(self) -> bool:
        """Nothing gets through."""
        return self._outage is not None

    def outage_s(self, now_s: float) -> float:
        """How long nothing has got through; 0 without an outage."""
        return 0.0 if self._outage is None else now_s - self._outage.since_s

    def stuck_lanes(self, now_s: float, for_s: float) -> list[bytes]:
        """Lanes that have not got through for so long, although they try."""
        begins = {lane: failing.since_s for lane, failing in self._failing.items()}
        for lane, since_s in self.in_flight.items():
            begins[lane] = min(since_s, begins.get(lane, since_s))
        return [lane for lane, since_s in begins.items() if now_s - since_s >= for_s]

    def why_failing(self, lane: bytes) -> SinkFailure | None:
        """The lane's last failure since its last success."""
        failing = self._failing.get(lane)
        return None if failing is None else failing.failure

    def reasons(self) -> list[str]:
        """Why something does not get through now; each once."""
        parked = [one.failure.reason for one in self.parked.values()]
        failing = [one.failure.reason for one in self._failing.values()]
        return list(dict.fromkeys([*parked, *failing]))

    def peek(self, lane: bytes, group: str, now_s: float) -> Go | Wait:
        """What `ask` would say now."""
        return self._decide(lane, group, now_s)[0]

    def ask(self, lane: bytes, group: str, now_s: float) -> Go | Wait:
        """Leave to send one batch, to be used at once."""
        answer, parked, is_outage_probe = self._decide(lane, group, now_s)
        if isinstance(answer, Go):
            for one in parked:
                one.probe = lane
            if is_outage_probe and self._outage is not None:
                self._outage.probe, self._outage.probe_s = lane, now_s
        return answer

    def started(self, lane: bytes, now_s: float) -> None:
        """A batch of the lane is under way."""
        self.in_flight[lane] = now_s

    def ended(self, lane: bytes) -> None:
        """The batch under way came to an end that says nothing."""
        self.in_flight.pop(lane, None)
        self._leave_probes(lane)

    def succeeded(self, lane: bytes, group: str, now_s: float) -> float | None:
        """The batch got through. The length of the outage that this ends; None: there was none."""
        self.ended(lane)
        self._last_success_s = now_s
        self._failing.pop(lane, None)
        self.parked.pop(group, None)
        self.parked.pop(EVERYTHING, None)
        outage, self._outage = self._outage, None
        return None if outage is None else now_s - outage.since_s

    def failed(self, lane: bytes, failure: SinkFailure, now_s: float) -> None:
        """The batch did not get through."""
        self.ended(lane)
        if isinstance(failure, NeedsOperator):
            # Parked and failing would be two waits, of which the longer one hides the other.
            self._failing.pop(lane, None)
            self.park(EVERYTHING if failure.group is None else failure.group, failure, now_s)
            return
        failing = self._failing.get(lane)
        if failing is None:
            backoff = self._new_backoff()
            # Whoever lost its producer may go on at once; if that fails too, it is no accident.
            wait_s = 0.0 if isinstance(failure, SinkReset) else backoff.next()
            self._failing[lane] = _Failing(now_s, now_s + wait_s, backoff, failure)
        else:
            failing.failure = failure
            failing.retry_at_s = now_s + failing.backoff.next()
        # A probe that failed: the next lane must not try at once, or a thousand lanes hammer.
        if self._outage is not None:
            self._outage.retry_at_s = now_s + self._outage.backoff.next()

    def park(self, group: str, failure: SinkFailure, now_s: float) -> None:
        """Let a group wait for a person; the wait grows each time."""
        parked = self.parked.get(group)
        if parked is None:
            config = self._config
            backoff = Backoff(config.parked_retry_s, config.parked_retry_most_s, self._random)
            parked = self.parked[group] = Parked(failure, now_s, now_s, backoff)
        parked.failure = failure
        parked.retry_at_s = now_s + parked.backoff.next()

    def tick(self, now_s: float) -> bool:
        """Look whether nothing gets through any more. True: an outage begins."""
        if self._outage is not None:
            return False
        begins = [*self.in_flight.values(), *(lane.since_s for lane in self._failing.values())]
        # Since the last success at the earliest: one lane that gets through proves the way.
        since_s = max(min(begins, default=now_s), self._last_success_s)
        if now_s - since_s < self._config.stall_s:
            return False
        self._outage = _Outage(since_s, now_s, self._new_backoff())
        return True

    def _decide(
        self, lane: bytes, group: str, now_s: float
    ) -> tuple[Go | Wait, list[Parked], bool]:
        failing = self._failing.get(lane)
        if failing is not None and now_s < failing.retry_at_s:
            return Wait(failing.retry_at_s - now_s), [], False
        parked = [self.parked[key] for key in (EVERYTHING, group) if key in self.parked]
        for one in parked:
            if one.probe is not None:
                return Wait(self._config.stall_s), [], False
            if now_s < one.retry_at_s:
                return Wait(one.retry_at_s - now_s), [], False
        outage = self._outage
        if outage is not None:
            # A probe that hangs holds the others for `stall_s`, and then another lane may try.
            taken_s = now_s - outage.probe_s
            if outage.probe is not None and taken_s < self._config.stall_s:
                return Wait(self._config.stall_s - taken_s), [], False
            if now_s < outage.retry_at_s:
                return Wait(outage.retry_at_s - now_s), [], False
        is_probe = outage is not None or bool(parked)
        records = self._config.probe_records if is_probe else self._config.batch_records
        return Go(records), parked, outage is not None

    def _leave_probes(self, lane: bytes) -> None:
        for parked in self.parked.values():
            if parked.probe == lane:
                parked.probe = None
        if self._outage is not None and self._outage.probe == lane:
            self._outage.probe = None

    def _new_backoff(self) -> Backoff:
        return Backoff(self._config.retry_s, self._config.retry_most_s, self._random)
