"""One deadline a request, kept in a context variable, from which every hop takes its share.

A hop gets min(its cap, what remains - a reserve), so that a slow first hop leaves the later
ones less time, never the caller waiting longer. A hop that would get nothing is not begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from fallback.clock import Monotonic, monotonic_s
from fallback.errors import DeadlineExceeded

_ends_at_s: ContextVar[float | None] = ContextVar("request_deadline", default=None)


@contextmanager
def request_deadline(within_s: float, now_s: Monotonic = monotonic_s) -> Iterator[None]:
    """End this request's work within so many seconds; an earlier deadline around it holds."""
    outer = _ends_at_s.get()
    ends_at_s = now_s() + within_s
    token = _ends_at_s.set(ends_at_s if outer is None else min(outer, ends_at_s))
    try:
        yield
    finally:
        _ends_at_s.reset(token)


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
