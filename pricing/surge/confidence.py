"""How far a price can be trusted, and how recent it is, in words."""

from __future__ import annotations

from itertools import pairwise

from pricing.model import Freshness, Signal

LEAST_PERCENT = 10
"""Confidence never falls below it; a default fare has just this."""

_PLENTY = 20
_AGEING = ((15_000, 100), (60_000, 80), (300_000, 40), (3_600_000, 10))
"""Age in ms, and the share in percent of the confidence that is left at it."""
_REAL_TIME_TICKS = 3
_STALE_MS = 300_000


def confidence_of(demand: int, supply: int, signal: Signal) -> int:
    """Percent at the tick itself: half for knowing anything, half for how much was counted.

    Half of that again while no driver of the city is heard from.
    """
    percent = 50 + 50 * min(demand + supply, _PLENTY) // _PLENTY
    return percent if signal is Signal.LIVE else percent // 2


def confidence_at(percent: int, age_ms: int) -> int:
    """Percent that is left at an age; falls along straight lines, to no less than 10."""
    if age_ms <= _AGEING[0][0]:
        return max(LEAST_PERCENT, percent)
    for (age0, share0), (age1, share1) in pairwise(_AGEING):
        if age_ms <= age1:
            share = share0 * (age1 - age0) - (share0 - share1) * (age_ms - age0)
            return max(LEAST_PERCENT, percent * share // (100 * (age1 - age0)))
    return max(LEAST_PERCENT, percent * _AGEING[-1][1] // 100)


def freshness_at(age_ms: int, tick_ms: int) -> Freshness:
    """How recent a state of this age is; three ticks old is still real-time."""
    if age_ms <= _REAL_TIME_TICKS * tick_ms:
        return Freshness.REAL_TIME
    return Freshness.STALE if age_ms <= _STALE_MS else Freshness.VERY_STALE
