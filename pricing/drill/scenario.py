"""What a drill breaks, and what holds meanwhile. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pricing.local.options import Target

RAMP_S = 90.0
"""What a store may take until it is probed and has its whole load again: 20 s where nothing
is slow, several times that on a machine whose cores others use too."""
LEVELS = 4
LATE_S = 2.0
"""A level is left within its dwell and so much, a tick and a look, once its reasons are gone."""
CHANGES_AT_MOST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is broken, how often and for how long."""

    targets: tuple[Target, ...]
    mode: str
    """What the mode has to become, or worse."""
    detect_s: float
    """Within how many seconds."""
    down_s: float = 20.0
    up_s: float = 20.0
    """Between two faults."""
    times: int = 1
    dwell_s: float = 10.0
    """Of the mode. What comes and goes is ridden out only by one that is longer than `up_s`."""


_RANK = {"normal": 0, "degraded": 1, "emergency": 2}

SCENARIOS: dict[str, Scenario] = {
    "redis": Scenario(targets=("redis",), mode="degraded", detect_s=10),
    "database": Scenario(targets=("database",), mode="degraded", detect_s=10),
    "kafka": Scenario(targets=("kafka",), mode="degraded", detect_s=40, down_s=45),
    "all": Scenario(targets=("redis", "database", "kafka"), mode="emergency", detect_s=15),
    "flap": Scenario(
        targets=("redis",), mode="degraded", detect_s=10, down_s=5, times=7, dwell_s=30
    ),
}


@dataclass(slots=True)
class DrillOutcome:
    """What a drill saw. Times in seconds; None: it never happened."""

    answered: int = 0
    unanswered: int = 0
    first_failure: str | None = None
    acknowledged: int = 0
    lost: int = 0
    modes: list[str] = field(default_factory=list)
    """The public modes in the order in which they came, `normal` first."""
    changes: int = 0
    """Of the level."""
    detected_after_s: float | None = None
    answering_after_s: float | None = None
    """From the end of the last fault, as the two that follow: what was broken answers again."""
    loaded_after_s: float | None = None
    """It has its whole load again."""
    normal_after_s: float | None = None
    late_s: float = 0.0
    """By how much the tardiest level outlived its dwell."""


@dataclass(frozen=True, slots=True)
class Promise:
    """One thing that was promised, and whether it was kept."""

    text: str
    is_kept: bool
    seen: str


def back_within_s(dwell_s: float) -> float:
    """The longest way back: probes and ramp, then every level after its dwell, and a reserve."""
    return RAMP_S + LEVELS * (dwell_s + 1) + 15


def promises(scenario: Scenario, outcome: DrillOutcome, *, dwell_s: float) -> Sequence[Promise]:
    """Every promise of a drill with its verdict; `dwell_s` is the service's, of its mode."""
    found = [
        _everybody_answered(outcome),
        _nothing_lost(outcome),
        _mode_shown(scenario, outcome),
        _normal_again(outcome, back_within_s(dwell_s)),
        _levels_left(outcome, dwell_s),
    ]
    if scenario.times > 1:
        found.append(_mode_steady(outcome))
    return found


def _everybody_answered(outcome: DrillOutcome) -> Promise:
    first = f" (first: {outcome.first_failure})" if outcome.first_failure else ""
    return Promise(
        "every price request is answered",
        outcome.unanswered == 0 and outcome.answered > 0,
        f"{outcome.answered} answered, {outcome.unanswered} not{first}",
    )


def _nothing_lost(outcome: DrillOutcome) -> Promise:
    return Promise(
        "no acknowledged event is lost",
        outcome.lost == 0,
        f"{outcome.acknowledged} acknowledged, {outcome.lost} lost",
    )


def _mode_shown(scenario: Scenario, outcome: DrillOutcome) -> Promise:
    worst, after_s = _worst(outcome.modes), outcome.detected_after_s
    in_time = after_s is not None and after_s <= scenario.detect_s
    return Promise(
        f"the mode says {scenario.mode} or worse within {scenario.detect_s:g} s",
        in_time and is_shown(scenario, worst),
        f"{worst} after {_seconds(after_s)}",
    )


def _normal_again(outcome: DrillOutcome, bound_s: float) -> Promise:
    after_s = outcome.normal_after_s
    return Promise(
        f"normal again by itself within {bound_s:g} s",
        after_s is not None and after_s <= bound_s,
        f"after {_seconds(after_s)}; it answers after {_seconds(outcome.answering_after_s)}, "
        f"has its whole load after {_seconds(outcome.loaded_after_s)}",
    )


def _levels_left(outcome: DrillOutcome, dwell_s: float) -> Promise:
    return Promise(
        f"each level is left within {dwell_s + LATE_S:g} s of its last reason",
        outcome.late_s <= LATE_S,
        f"after {dwell_s + outcome.late_s:.1f} s at most",
    )


def _mode_steady(outcome: DrillOutcome) -> Promise:
    return Promise(
        f"the mode does not flap: at most {CHANGES_AT_MOST} changes",
        outcome.changes <= CHANGES_AT_MOST,
        f"{outcome.changes} changes",
    )


def is_shown(scenario: Scenario, mode: str) -> bool:
    """Whether the mode is as bad as the drill makes things."""
    return _RANK[mode] >= _RANK[scenario.mode]


def _worst(modes: Sequence[str]) -> str:
    return max(modes, key=_RANK.__getitem__, default="normal")


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
