"""How fast: a token bucket for all lanes, and a slow start after an outage. Pure."""

from __future__ import annotations

_BURST_S = 0.025
"""How much of a second's records may go at once: a little more than a batching window's."""
_FIRST_SHARE = 0.1


class Pace:
    """Hands out moments to send. `now_s` is monotonic time."""

    def __init__(self, records_per_s: float, *, slow_start_s: float) -> None:
        self._full = records_per_s
        self._slow_start_s = slow_start_s
        self._free_at_s = 0.0
        """When everything that was reserved so far will have gone at the pace."""
        self._ramp_from_s = 0.0
        self._ramp_s = 0.0

    def rate(self, now_s: float) -> float:
        """Records a second, now."""
        if now_s >= self._ramp_from_s + self._ramp_s:
            return self._full
        share = max(0.0, now_s - self._ramp_from_s) / self._ramp_s
        return self._full * (_FIRST_SHARE + (1 - _FIRST_SHARE) * share)

    def slow_down(self, now_s: float, *, outage_s: float, jitter: float) -> None:
        """Begin at a tenth of the pace.

        A long outage leaves a long backlog at every instance, and they would all come at once;
        so the way back to the full pace takes a tenth of the outage's time. `jitter`, 0 to 1,
        spreads the instances.
        """
        self._ramp_from_s = now_s
        self._ramp_s = min(self._slow_start_s, outage_s / 10) * (0.75 + jitter / 2)

    def reserve(self, records: int, now_s: float) -> float:
        """Take the right to send so many; returns the seconds to wait first."""
        rate = self.rate(now_s)
        # A pause earns one burst and no more: a backlog must not start with a second's worth.
        begin_s = max(self._free_at_s, now_s - _BURST_S)
        self._free_at_s = begin_s + records / rate
        return max(0.0, begin_s - now_s)
