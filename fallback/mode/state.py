"""What goes into a step, what is kept between steps, and what a step tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from fallback.mode.level import Level


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What an input shows now.

    For an input with a scale only `value` counts. One without a scale brings its levels:
    `entered` is where it stands, `kept` where it has not yet left; never better than `entered`.
    """

    value: float | str
    entered: Level = Level.NORMAL
    kept: Level = Level.NORMAL
    threshold: str | None = None
    """What it stands against, in words."""
    is_hard: bool = False
    """A fact that needs no second look: `entered` holds at once."""

    def __post_init__(self) -> None:
        if self.kept < self.entered:
            raise ValueError(f"kept={self.kept!r} is better than entered={self.entered!r}")


class BoundsKind(StrEnum):
    """What an operator's level does to the computed one."""

    FLOOR = "floor"
    PIN = "pin"
    CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class Bounds:
    """An operator's hand on the mode."""

    kind: BoundsKind
    level: Level

    def apply(self, computed: Level) -> Level:
        """The level in effect."""
        if self.kind is BoundsKind.PIN:
            return self.level
        if self.kind is BoundsKind.FLOOR:
            return max(self.level, computed)
        return min(self.level, computed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that one step knows. The order of the readings has no meaning."""

    readings: Mapping[str, Reading]
    """By input; one that is absent was not to be had."""
    is_ramping: bool = False
    """A dependency is being loaded step by step: no level is left before that is done."""
    bounds: Bounds | None = None
    is_released: bool = False
    """An operator took the hand away: the computed level holds at once, also downwards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputState:
    """What is kept of one input."""

    seen_s: float
    """When it last gave a reading."""
    level: Level = Level.NORMAL
    """Where it stands: entered and believed, and not left."""
    kept: Level = Level.NORMAL
    """What its last reading did not leave: the mode does not fall to this level or below it."""
    value: float | str | None = None
    threshold: float | str | None = None
    history: tuple[float, ...] = ()
    streaks: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Regular steps in a row at MINOR to CRITICAL, or worse."""
    is_blind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeState:
    """Where the mode is, and the evidence for its next change."""

    computed: Level
    """What the inputs say."""
    effective: Level
    """What holds: the computed level under an operator's bounds."""
    since_s: float
    """When `effective` last changed."""
    inputs: Mapping[str, InputState]
    last_s: float
    tick_s: float
    """When the last regular step was."""
    calm_s: float = 0.0
    """Witnessed time below the exits of `computed`."""
    settled_s: float = 0.0
    """Witnessed time since an override ended above the computed level."""
    was_bounded: bool = False
    turns: tuple[float, ...] = ()
    """When the computed level changed its direction, within the flap window."""
    reentries: tuple[float, ...] = ()
    """When it turned up again, within the re-entry window."""
    direction: int = 0
    """+1 after a rise of the computed level, -1 after a fall, 0 before both."""
    hold_until_s: float | None = None
    is_flapping: bool = False

    @property
    def is_recovering(self) -> bool:
        """The inputs are better than the level in effect, and no operator holds it there."""
        return not self.was_bounded and self.effective > worst(self)


class EventKind(StrEnum):
    """What a step may tell."""

    MODE = "mode"
    COMPUTED = "computed"
    """The inputs' level changed under an operator's bounds."""
    BLIND = "blind"
    SIGHTED = "sighted"
    FLAPPING = "flapping"
    STEADY = "steady"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """An input that speaks for its level, with what was measured and what it was held against."""

    input: str
    value: float | str | None
    threshold: float | str | None
    level: Level


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeEvent:
    """One change, with its reasons."""

    kind: EventKind
    at_s: float
    old: Level
    new: Level
    causes: tuple[Cause, ...] = ()
    input: str | None = None
    """For BLIND and SIGHTED: which one."""
    bounds: Bounds | None = None
    previous_s: float = field(default=0.0)
    """For MODE: how long the old level held."""


def worst(state: ModeState) -> Level:
    """The worst level at which an input stands."""
    return max((one.level for one in state.inputs.values()), default=Level.NORMAL)


def causes(state: ModeState) -> tuple[Cause, ...]:
    """The inputs that are not normal, worst first."""
    found = [
        Cause(input=name, value=one.value, threshold=one.threshold, level=one.level)
        for name, one in state.inputs.items()
        if one.level is not Level.NORMAL
    ]
    return tuple(sorted(found, key=lambda cause: (-cause.level, cause.input)))
