"""From demand and supply to a multiplier: a row of stages under a policy.

Each stage takes a value and gives one, in millionths, with the reason why it changed it. The
first turns counts into a ratio, the second turns the ratio into a multiplier; the others move
the multiplier. All are integers and floor division, so that any engine gets the same bits, and
the loader's limits keep every intermediate below 2**63.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from pricing.errors import PolicyError
from pricing.model import MICRO, Signal, Zone
from pricing.surge.policy.curve import Curve
from pricing.surge.policy.reasons import Reason, base_reason, doubts


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioRules:
    """How counts become a ratio: as if some drivers more were there, at a usual ratio.

    These prior drivers damp small counts and make one formula serve an empty zone, one without
    drivers and one without requests, with no cliff between them.
    """

    prior_drivers_micro: int
    prior_ratio_micro: int
    """The ratio of a zone of which nothing is known. Its multiplier is 1.0 on every curve."""
    low_volume: int
    """Fewer requests and drivers than this together are called low volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRules:
    """What zones of one class have in common."""

    name: str
    curve: Curve
    min_micro: int
    max_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneRules:
    """What one zone is priced by: its class, and its own bounds on the policy's lattice."""

    zone_class: ClassRules
    min_micro: int
    max_micro: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A checked set of rules; `load_policy` makes one from a file."""

    name: str
    version: str
    """`<name>-<12 hex>`: equal when the rules and the window's settings are."""
    timezone: str | None
    """IANA name."""
    currency: str | None
    """ISO 4217."""
    ratio: RatioRules
    quantum_micro: int
    """Multipliers are multiples of it; it divides 1.0."""
    classes: tuple[ClassRules, ...]
    default_class: str

    def class_named(self, name: str) -> ClassRules:
        """The class of that name, or the default class."""
        by_name = {rules.name: rules for rules in self.classes}
        return by_name.get(name, by_name[self.default_class])

    def rules_for(self, zone: Zone) -> ZoneRules:
        """What this zone is priced by. Bounds between two steps of the lattice move inward.

        Raises:
            PolicyError: no step of the lattice lies within the zone's bounds.
        """
        quantum = self.quantum_micro
        least = -(-zone.min_multiplier_micro // quantum) * quantum
        greatest = zone.max_multiplier_micro // quantum * quantum
        if least > greatest:
            bounds = f"{zone.min_multiplier_micro} to {zone.max_multiplier_micro} millionths"
            raise PolicyError(
                self.name, f"zone {zone.zone_id}", f"no multiple of {quantum} lies within {bounds}"
            )
        zone_class = self.class_named(zone.zone_class)
        return ZoneRules(zone_class=zone_class, min_micro=least, max_micro=greatest)


class Situation(NamedTuple):
    """All that a stage may look at beside the value."""

    policy: Policy
    zone: ZoneRules
    demand: int
    supply: int
    signal: Signal


class StageResult(NamedTuple):
    """What a stage makes of a value; the reason is None where it changed nothing."""

    value_micro: int
    reason: Reason | None


class Stage(NamedTuple):
    """One step of the way to a multiplier. `apply` is pure."""

    name: str
    apply: Callable[[int, Situation], StageResult]


class StageStep(NamedTuple):
    """What one stage did: values in millionths, of which the first `before` is a ratio."""

    stage: str
    before: int
    after: int
    reason: Reason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A multiplier, and how it came about."""

    raw_micro: int
    """What the curve gave: demand and supply alone."""
    stages: tuple[StageStep, ...]
    multiplier_micro: int
    reasons: tuple[Reason, ...]
    """Each once: the base code, doubts about the counts, then those of the stages in order."""


def ratio(value_micro: int, situation: Situation) -> StageResult:
    """Requests for each driver; the prior ratio stays where supply is unknown.

    On it every curve gives 1.0. The reason is always the base code.
    """
    _, _, demand, supply, signal = situation
    reason = base_reason(demand, supply, signal)
    if signal is Signal.SILENT:
        return StageResult(value_micro, reason)
    drivers = situation.policy.ratio.prior_drivers_micro
    asked = demand * MICRO * MICRO + drivers * value_micro
    return StageResult(asked // (supply * MICRO + drivers), reason)


def curve(value_micro: int, situation: Situation) -> StageResult:
    """The multiplier of the class's curve at this ratio."""
    rules = situation.zone.zone_class.curve
    cut = Reason.CURVE_CEILING if rules.ends_before(value_micro) else None
    return StageResult(rules.at(value_micro), cut)


def class_bounds(value_micro: int, situation: Situation) -> StageResult:
    rules = situation.zone.zone_class
    return _clamp(value_micro, rules.min_micro, rules.max_micro)


def rounding(value_micro: int, situation: Situation) -> StageResult:
    """Down to the lattice, which favours the rider."""
    rounded = value_micro - value_micro % situation.policy.quantum_micro
    return StageResult(rounded, Reason.ROUNDED if rounded != value_micro else None)


def zone_bounds(value_micro: int, situation: Situation) -> StageResult:
    """The zone's own bounds, which win over its class's."""
    return _clamp(value_micro, situation.zone.min_micro, situation.zone.max_micro)


COUNTS_STAGES = (Stage("ratio", ratio), Stage("curve", curve))
"""From the prior ratio to the raw multiplier."""

PRICE_STAGES = (
    Stage("class_bounds", class_bounds),
    Stage("rounding", rounding),
    Stage("zone_bounds", zone_bounds),
)
"""From the raw multiplier to the one that riders pay."""


def decide(
    policy: Policy, zone: ZoneRules, *, demand: int, supply: int, signal: Signal
) -> Decision:
    """The multiplier of a zone with these counts."""
    situation = Situation(policy, zone, demand, supply, signal)
    counted = _run(COUNTS_STAGES, policy.ratio.prior_ratio_micro, situation)
    raw_micro = counted[-1].after
    priced = _run(PRICE_STAGES, raw_micro, situation)
    stages = (*counted, *priced)
    base, *changes = (step.reason for step in stages if step.reason is not None)
    doubtful = doubts(demand, supply, signal, low_volume=policy.ratio.low_volume)
    return Decision(
        raw_micro=raw_micro,
        stages=stages,
        multiplier_micro=stages[-1].after,
        reasons=tuple(dict.fromkeys((base, *doubtful, *changes))),
    )


def _run(stages: tuple[Stage, ...], value_micro: int, situation: Situation) -> list[StageStep]:
    steps = []
    for stage in stages:
        outcome = stage.apply(value_micro, situation)
        steps.append(StageStep(stage.name, value_micro, outcome.value_micro, outcome.reason))
        value_micro = outcome.value_micro
    return steps


def _clamp(value_micro: int, least_micro: int, greatest_micro: int) -> StageResult:
    if value_micro < least_micro:
        return StageResult(least_micro, Reason.ZONE_MIN)
    if value_micro > greatest_micro:
        return StageResult(greatest_micro, Reason.ZONE_MAX)
    return StageResult(value_micro, None)
