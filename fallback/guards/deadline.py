"""One deadline a request, kept in a context variable, from which every hop takes its share.

A hop gets min(its cap, what remains - a reserve), so that a slow first hop leaves the later
ones less time, never the caller waiting longer. A hop that would get nothing is not begun.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType

from fallback.clock import Monotonic, monotonic_s
from fallback.errors import DeadlineExceeded

_ends_at_s: ContextVar[float | None] = ContextVar("request_deadline", default=None)


class request_deadline:  # noqa: N801 # it reads as what it does, as a generator would cost twice
    """End the block's work within so many seconds; an earlier deadline around it holds."""

    __slots__ = ("_ends_at_s", "_token")

    def __init__(self, within_s: float, now_s: Monotonic = monotonic_s) -> None:
        self._ends_at_s = now_s() + within_s

    def __enter__(self) -> None:
        outer = _ends_at_s.get()
        ends_at_s = self._ends_at_s
        self._token = _ends_at_s.set(ends_at_s if outer is None else min(outer, ends_at_s))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _ends_at_s.reset(self._token)


def remaining_s(now_s: Monotonic = monotonic_s) -> float | None:
    """Seconds until the request's deadline, below 0 when it passed; None without one."""
    ends_at_s = _ends_at_s.get()
    return None if ends_at_s is None else ends_at_s - now_s()


def hop_s(
    name: str, cap_s: float, *, reserve_s: float = 0.0, now_s: Monotonic = monotonic_s
) -> float:
    """Seconds that the next hop may take: at most `cap_s`, and `reserve_s` less than what remains.

    Raises `DeadlineExceeded` when nothing is left for it.
    """
    left_s = remaining_s(now_s)
    if left_s is None:
        return cap_s
    if left_s <= reserve_s:
        raise DeadlineExceeded(name)
    return min(cap_s, left_s - reserve_s)
