"""Five levels inside, three modes outside."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Mode(StrEnum):
    """What clients are told."""

    NORMAL = "normal"
    DEGRADED = "degraded"
    EMERGENCY = "emergency"


class Level(IntEnum):
    """How bad it is; a greater one is worse."""

    NORMAL = 0
    MINOR = 1
    MODERATE = 2
    SEVERE = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        """The name as it is written outside."""
        return self.name.lower()

    @property
    def mode(self) -> Mode:
        """The public mode that the level belongs to."""
        return _MODES[self]

    @classmethod
    def parse(cls, word: str) -> Level:
        """The level of that name. Raises `ValueError` showing the bad word."""
        for level in cls:
            if level.word == word:
                return level
        raise ValueError(f"level={word!r}: use {', '.join(level.word for level in cls)}")


_MODES = (Mode.NORMAL, Mode.DEGRADED, Mode.DEGRADED, Mode.EMERGENCY, Mode.EMERGENCY)
