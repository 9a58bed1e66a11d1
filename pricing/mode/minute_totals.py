"""What happened within any window of the last week, from totals kept once a minute."""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Mapping

from fallback.mode import ModeEvent, ModeState
from fallback.mode.override import Override

_MINUTE_S = 60.0
_MINUTES_KEPT = 7 * 24 * 60


class MinuteTotals:
    """Totals that only grow, minute by minute; an observer of the orchestrator.

    `totals` gives the same names each time. It is called once a minute and for each report.
    """

    def __init__(self, totals: Callable[[], Mapping[str, int]], now_s: float) -> None:
        self._totals = totals
        self._names = tuple(totals())
        self._marks: deque[tuple[float, array[int]]] = deque(maxlen=_MINUTES_KEPT)
        self._mark(now_s)
        self._now_s = now_s

    def since(self, window_s: float) -> tuple[dict[str, int], float]:
        """How much each total grew within the window, and how much of it was seen, in seconds."""
        from_s = self._now_s - window_s
        # The newest mark that lies before the window: the window is covered whole, or as far back
        # as there are marks.
        mark_s, before = self._marks[0]
        for at_s, values in self._marks:
            if at_s > from_s:
                break
            mark_s, before = at_s, values
        now = self._totals()
        grown = {name: now[name] - was for name, was in zip(self._names, before, strict=True)}
        return grown, min(window_s, self._now_s - mark_s)

    def on_step(self, state: ModeState, seen_s: float) -> None:
        del seen_s
        self._now_s = state.last_s
        if self._now_s - self._marks[-1][0] >= _MINUTE_S:
            self._mark(self._now_s)

    def on_mode_event(self, event: ModeEvent, override: Override | None) -> None: ...

    def on_override_ended(self, override: Override) -> None: ...

    def _mark(self, now_s: float) -> None:
        # Arrays, because a week of minutes is kept: some 3 MB, of which dicts would be a multiple.
        self._marks.append((now_s, array("Q", self._totals().values())))
