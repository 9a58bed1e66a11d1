"""The breaker as callers use it: asks the clock, tells results apart, tells observers."""

from __future__ import annotations

import functools
import inspect
import random as random_module
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import ParamSpec, Protocol, TypeVar, overload

from fallback.breaker.config import BreakerConfig
from fallback.breaker.machine import Machine
from fallback.breaker.state import Permit, Snapshot, State, Transition
from fallback.clock import Monotonic, monotonic_s
from fallback.errors import CircuitOpenError, RejectedLocally
from fallback.observer import notify

T = TypeVar("T")
P = ParamSpec("P")


class Verdict(Enum):
    """What the end of a call says about the dependency."""

    SUCCESS = "success"
    FAILURE = "failure"
    NEUTRAL = "neutral"
    """Nothing: the caller went away, or the call was never made."""


# Looking a member up in an enumeration costs as much as the rest of a settled call.
_SUCCESS = Verdict.SUCCESS
_CLOSED = State.CLOSED
_NEUTRAL = Verdict.NEUTRAL


class BreakerObserver(Protocol):
    """Hooks; none can break a call."""

    def on_state_change(self, name: str, transition: Transition) -> None: ...

    def on_call(self, name: str, verdict: Verdict, duration_s: float) -> None: ...

    def on_rejected(self, name: str) -> None: ...


def judge(error: BaseException) -> Verdict:
    """Every exception is a failure, but for cancellations, exits, and what we refused ourselves."""
    if isinstance(error, RejectedLocally) or not isinstance(error, Exception):
        return Verdict.NEUTRAL
    return Verdict.FAILURE


class CircuitBreaker:
    """One dependency's breaker. Put the timeout inside it: breaker( timeout( call ) ).

    A timeout outside would cancel the call, and a cancellation says nothing about the
    dependency. `judge` turns an exception into a verdict. Belongs to one event loop.
    """

    def __init__(
        self,
        name: str,
        config: BreakerConfig,
        *,
        judge: Callable[[BaseException], Verdict] = judge,
        observers: Sequence[BreakerObserver] = (),
        now_s: Monotonic = monotonic_s,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.name = name
        self.config = config
        self._judge = judge
        self._observers = tuple(observers)
        self._now_s = now_s
        self._machine = Machine(config, now_s(), random)

    @property
    def state(self) -> State:
        """The present state; reading it changes nothing."""
        return self._machine.state

    @property
    def generation(self) -> int:
        """Grows with every change of state."""
        return self._machine.generation

    def watch(self, observer: BreakerObserver) -> None:
        """Tell one more observer from now on."""
        self._observers += (observer,)

    def unchanged_for_s(self) -> float:
        """How long it has been in its state."""
        return self._now_s() - self.snapshot().last_change_s

    def snapshot(self) -> Snapshot:
        """Counts and totals for health, metrics and the mode."""
        return self._machine.snapshot(self._now_s())

    @overload
    async def call(self, function: Callable[[], Awaitable[T]]) -> T: ...

    @overload
    async def call(
        self, function: Callable[[], Awaitable[T]], fallback: Callable[[Exception], T]
    ) -> T: ...

    async def call(
        self,
        function: Callable[[], Awaitable[T]],
        fallback: Callable[[Exception], T] | None = None,
    ) -> T:
        """Make the call if admitted.

        Raises `CircuitOpenError` when not, else what the call raises; with a `fallback`, its
        answer to that exception takes the place of either.
        """
        if fallback is not None:
            return await self._call_or(function, fallback)
        permit = self.acquire()
        try:
            result = await function()
        except BaseException as error:
            self.settle(permit, error)
            raise
        self.settle(permit, None)
        return result

    def check(self) -> None:
        """Raise `CircuitOpenError` if a call would be rejected now; takes no permit.

        Spares a caller the way to a call that is not made.
        """
        machine = self._machine
        if machine.state is _CLOSED:
            return
        now_s = self._now_s()
        if machine.rejects(now_s):
            raise self._rejection(now_s)

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Decorate a coroutine function; refuses a plain one, which would never be awaited."""
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{function!r} is not a coroutine function")

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.call(lambda: function(*args, **kwargs))

        return guarded

    def acquire(self) -> Permit:
        """Leave for one call, to be given to `settle`. Raises `CircuitOpenError`."""
        now_s = self._now_s()
        permit = self._machine.try_acquire(now_s)
        if permit is None:
            raise self._rejection(now_s)
        return permit

    def settle(self, permit: Permit, error: BaseException | None) -> None:
        """Give a permit back with the call's result: None for success."""
        now_s = self._now_s()
        verdict = _SUCCESS if error is None else self._judge(error)
        if verdict is _NEUTRAL:
            self._machine.release(permit)
        else:
            self._machine.record(permit, now_s, failed=verdict is not _SUCCESS)
        if self._observers:
            self._tell_changes()
            for observer in self._observers:
                notify(observer.on_call, self.name, verdict, now_s - permit.started_s)

    async def _call_or(
        self, function: Callable[[], Awaitable[T]], fallback: Callable[[Exception], T]
    ) -> T:
        try:
            return await self.call(function)
        except Exception as error:  # noqa: BLE001 - the caller asked for any failure's answer
            return fallback(error)

    def reset(self) -> None:
        """Close it now, and forget what happened."""
        self._machine.reset(self._now_s())
        self._tell_changes()

    def force_open(self, *, for_s: float | None) -> None:
        """Let it admit nothing, by an operator's hand, for so long or (None) until `reset`."""
        now_s = self._now_s()
        self._machine.force_open(now_s, None if for_s is None else now_s + for_s)
        self._tell_changes()

    def hasten(self) -> None:
        """If it is open, let the next call be a probe: the dependency was seen to be back."""
        self._machine.hasten(self._now_s())

    def expire(self) -> None:
        """End what is over although no call comes; its owner calls this about once a second."""
        self._machine.expire(self._now_s())
        self._tell_changes()

    def _rejection(self, now_s: float) -> CircuitOpenError:
        self._tell_changes()
        for observer in self._observers:
            notify(observer.on_rejected, self.name)
        # A new one each time: one that is raised again and again would collect tracebacks.
        return CircuitOpenError(self.name, self._machine.retry_after_s(now_s))

    def _tell_changes(self) -> None:
        for transition in self._machine.take_transitions():
            for observer in self._observers:
                notify(observer.on_state_change, self.name, transition)
