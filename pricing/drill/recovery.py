"""How long each level outlived its reasons on the way back to normal. Pure.

Fed with what `GET /api/v1/system/mode` says, as often as somebody looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fallback.mode import Level

_FULL = 100


@dataclass(slots=True)
class Recovery:
    """Follows one recovery. Times in seconds, by the caller's clock."""

    dwell_s: float
    answering_s: float | None = None
    """Since when every store's breaker is closed, and events go to Kafka, without a break."""
    loaded_s: float | None = None
    """Since when every dependency also has its whole load again."""
    steps: list[tuple[Level, float]] = field(default_factory=list)
    """Each level that was left, and how much longer it held than its dwell and the ramps say."""
    _level: Level | None = None
    _reason_s: float = 0.0
    _ramp_s: float = 0.0

    def see(self, at_s: float, body: Mapping[str, Any]) -> None:
        """Take what the mode says now."""
        level = Level.parse(body["level"])
        if self._level is None:
            self._level, self._reason_s = level, at_s
        # It may leave a level once its last reason is a dwell ago and every ramp has ended:
        # what it takes beyond that is late.
        if level < self._level:
            due_s = max(self._reason_s + self.dwell_s, self._ramp_s)
            self.steps.append((self._level, at_s - due_s))
        # An input that stands at the level, or holds it, is a reason to stay.
        if level is not self._level or _worst(body) >= level:
            self._reason_s = at_s
        self._level = level
        stores = [body["dependencies"][name] for name in ("redis", "database")]
        is_loaded = all(one["ramp_percent"] == _FULL for one in stores)
        if not is_loaded:
            self._ramp_s = at_s
        is_answering = body["backlog"]["state"] in ("healthy", "recovering") and all(
            one["breaker"] == "CLOSED" for one in stores
        )
        self.answering_s = _since(self.answering_s, at_s, holds=is_answering)
        self.loaded_s = _since(self.loaded_s, at_s, holds=is_answering and is_loaded)

    @property
    def latest_s(self) -> float:
        """By how much the tardiest step was late; 0 without steps."""
        return max((late_s for _, late_s in self.steps), default=0.0)


def _since(was_s: float | None, at_s: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return at_s if was_s is None else was_s


def _worst(body: Mapping[str, Any]) -> Level:
    """The worst level that an input stands at, or is not below the exit of."""
    words = [one[word] for one in body["inputs"].values() for word in ("level", "holds")]
    return max(map(Level.parse, words), default=Level.NORMAL)
