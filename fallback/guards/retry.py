"""Retries for writes and background work: bounded, jittered, and few beside the calls they repeat.

Never for price reads: there the next rung is the retry. Only an error that the caller calls
passing is tried again; the wait is cancelled with the caller.

    retry = Retry("database", RetryPolicy(), budget, is_passing=lambda error: ...)
    await retry.call("write_tick", lambda: store.write_tick(tick))

The loop, its waiting and the switch that turns it off in tests (`stamina.set_testing`) are
stamina's; the schedule and the budget are decided here.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Protocol, TypeVar

import stamina

from fallback.clock import Monotonic, monotonic_s
from fallback.config_check import check_field
from fallback.guards.deadline import remaining_s
from fallback.observer import notify

T = TypeVar("T")


class Growth(StrEnum):
    """How the longest wait grows from one retry to the next."""

    EXPONENTIAL = "exponential"
    LINEAR = "linear"
    FIXED = "fixed"
    FIBONACCI = "fibonacci"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how late to try again. Raises `ValueError` naming the field and bad value.

    The default schedule of longest waits is 100, 200 ms; a wait is drawn evenly between 0 and
    the longest ("full jitter"), so that those who failed together do not come back together.
    """

    attempts: int = 3
    """The first one included; 1 never retries."""
    growth: Growth = Growth.EXPONENTIAL
    initial_wait_s: float = 0.1
    factor: float = 2.0
    """Of exponential growth."""
    longest_wait_s: float = 5.0
    is_jittered: bool = True
    """False for tests and for one lone caller."""

    def __post_init__(self) -> None:
        check_field(self, "attempts", self.attempts >= 1)
        check_field(self, "initial_wait_s", self.initial_wait_s > 0)
        check_field(self, "factor", self.factor >= 1)
        check_field(self, "longest_wait_s", self.longest_wait_s >= self.initial_wait_s)

    def longest_waits_s(self) -> Iterator[float]:
        """The longest wait before each retry, without jitter; endless."""
        for steps in _steps(self.growth, self.factor):
            yield min(self.initial_wait_s * steps, self.longest_wait_s)

    def waits_s(self, random: Callable[[], float]) -> Iterator[float]:
        """The wait before each retry, one fewer than attempts."""
        for longest_s in islice(self.longest_waits_s(), self.attempts - 1):
            yield longest_s * random() if self.is_jittered else longest_s


def _steps(growth: Growth, factor: float) -> Iterator[float]:
    """How many initial waits the wait before each retry is long."""
    current, following = 1.0, 1.0
    while True:
        yield current
        if growth is Growth.EXPONENTIAL:
            # Past this every policy has reached its longest wait; a float would overflow.
            current = min(current * factor, 1e12)
        elif growth is Growth.LINEAR:
            current += 1
        elif growth is Growth.FIBONACCI:
            following, current = min(current + following, 1e12), following


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetConfig:
    """How many retries a kind of calls may have. Raises `ValueError` naming field and value."""

    share: float = 0.1
    """Retries for each call that was made; 0: none at all."""
    floor_per_s: float = 3.0
    """And this many in any case, or a quiet caller could never retry."""
    ttl_s: int = 10
    """Calls and retries older than this do not count."""

    def __post_init__(self) -> None:
        check_field(self, "share", self.share >= 0)
        check_field(self, "floor_per_s", self.floor_per_s >= 0)
        check_field(self, "ttl_s", self.ttl_s >= 1)


class RetryBudget:
    """Holds retries to a share of the calls, so that they cannot become a storm.

    Finagle's rule over a sliding window in one-second steps: share · calls + floor · ttl
    retries in any `ttl_s`. One event loop.
    """

    def __init__(
        self,
        config: BudgetConfig | None = None,
        now_s: Monotonic = monotonic_s,
        *,
        share: Callable[[], float] | None = None,
    ) -> None:
        """`share` is asked each time, instead of the configured one; 0: no retries at all."""
        self._config = config or BudgetConfig()
        self._share = share or (lambda: self._config.share)
        self._now_s = now_s
        self._calls: dict[int, int] = {}
        self._retries: dict[int, int] = {}
        self.refused_total = 0
        """Retries that there was no budget for."""

    @property
    def balance(self) -> float:
        """How many retries could be taken now."""
        self._forget()
        config, share = self._config, self._share()
        if not share:
            return 0.0
        earned = share * sum(self._calls.values()) + config.floor_per_s * config.ttl_s
        return earned - sum(self._retries.values())

    def note_call(self) -> None:
        """Count a call, not a retry; counted before it is sent."""
        second = self._forget()
        self._calls[second] = self._calls.get(second, 0) + 1

    def take(self) -> bool:
        """Take one retry, if there is one left."""
        if self.balance < 1:
            self.refused_total += 1
            return False
        second = self._forget()
        self._retries[second] = self._retries.get(second, 0) + 1
        return True

    def _forget(self) -> int:
        """Drop what is too old; returns the present second."""
        second = int(self._now_s())
        oldest = second - self._config.ttl_s
        for counts in (self._calls, self._retries):
            for past in [past for past in counts if past <= oldest]:
                del counts[past]
        return second


class RetryObserver(Protocol):
    """Hears of every retry before its wait. Cannot break the call."""

    def on_retry(self, name: str, operation: str, attempt: int, wait_s: float) -> None:
        """`attempt` counts from 2: the first retry is the second attempt."""
        ...


class Retry:
    """One dependency's retries. One event loop; calls may overlap."""

    def __init__(
        self,
        name: str,
        policy: RetryPolicy,
        budget: RetryBudget,
        *,
        is_passing: Callable[[Exception], bool],
        observers: Sequence[RetryObserver] = (),
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.name = name
        self.policy = policy
        self.budget = budget
        self._is_passing = is_passing
        self._observers = tuple(observers)
        self._random = random

    async def call(self, operation: str, function: Callable[[], Awaitable[T]]) -> T:
        """Call until it succeeds, fails for good, or may not be tried again.

        Raises the last error. A retry whose wait would outlast the request's deadline is not
        begun.
        """
        self.budget.note_call()
        decision = _Decision(self, operation)
        async for attempt in stamina.retry_context(
            on=decision.wait_or_stop, attempts=self.policy.attempts, timeout=None
        ):
            with attempt:
                return await function()
        raise AssertionError("unreachable: the last attempt returns or raises")

    def next_wait_s(self, error: BaseException, waits_s: Iterator[float]) -> float | None:
        """Seconds until the next attempt; None: there is none. Takes from the budget."""
        # The loop also asks after a cancellation, which is nobody's to retry.
        if not isinstance(error, Exception) or not self._is_passing(error):
            return None
        wait_s = next(waits_s, None)
        left_s = remaining_s()
        if wait_s is None or (left_s is not None and wait_s >= left_s):
            return None
        if not self.budget.take():
            return None
        return wait_s

    def tell_retry(self, operation: str, attempt: int, wait_s: float) -> None:
        for observer in self._observers:
            notify(observer.on_retry, self.name, operation, attempt, wait_s)

    def new_waits_s(self) -> Iterator[float]:
        return self.policy.waits_s(self._random)


class _Decision:
    """Where one call stands in its schedule. Made per call: a shared one would mix attempts."""

    __slots__ = ("_attempt", "_operation", "_retry", "_waits_s")

    def __init__(self, retry: Retry, operation: str) -> None:
        self._retry = retry
        self._operation = operation
        self._attempt = 1
        self._waits_s = retry.new_waits_s()

    def wait_or_stop(self, error: BaseException) -> float | bool:
        """What stamina asks after a failure: seconds to wait, or False."""
        wait_s = self._retry.next_wait_s(error, self._waits_s)
        if wait_s is None:
            return False
        self._attempt += 1
        self._retry.tell_retry(self._operation, self._attempt, wait_s)
        return wait_s
