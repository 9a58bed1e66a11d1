"""What holds for every multiplier, whatever the counts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.model import MICRO, Signal
from pricing.surge.confidence import confidence_at, confidence_of
from pricing.surge.policy.curve import Curve
from pricing.surge.policy.file import load_policy
from pricing.surge.policy.policy import (
    PRICE_STAGES,
    ClassRules,
    Policy,
    RatioRules,
    Situation,
    ZoneRules,
    decide,
    rounding,
)
from pricing.surge.policy.reasons import Reason
from pricing.surge.policy.windows import WindowConfig
from tests.support import surge_model

unhurried = settings(deadline=None)
"""A busy machine is slow now and then; no single example has a deadline."""

SHIPPED = load_policy(None, WindowConfig())
BASE_CODES = {
    Reason.NO_DATA,
    Reason.ZERO_SUPPLY,
    Reason.ZERO_DEMAND,
    Reason.DEMAND_EXCEEDS_SUPPLY,
    Reason.BALANCED,
    Reason.SUPPLY_UNKNOWN,
}
QUANTA = [10_000, 50_000, 100_000, 250_000]

counts = st.integers(0, 60) | st.integers(0, 5_000)
signals = st.sampled_from(Signal)
classes = st.sampled_from(["core", "airport", "outer"])


def lattice(quantum: int) -> st.SearchStrategy[int]:
    return st.integers(500_000 // quantum, 10 * MICRO // quantum).map(lambda n: n * quantum)


@st.composite
def curves(draw: st.DrawFn) -> tuple[Curve, int]:
    """A curve, and a prior ratio on its flat beginning, where it gives 1.0."""
    start = draw(st.integers(1, 3 * MICRO))
    xs = sorted(draw(st.sets(st.integers(start + 1, 50 * MICRO), max_size=4)))
    ys = sorted(draw(st.lists(st.integers(MICRO, 12 * MICRO), min_size=len(xs), max_size=len(xs))))
    points = ((start, MICRO), *zip(xs, ys, strict=True))
    return Curve(points), draw(st.integers(0, start))


@st.composite
def policies(draw: st.DrawFn) -> tuple[Policy, ZoneRules]:
    """Any policy that the loader would take, and the rules of one of its zones."""
    quantum = draw(st.sampled_from(QUANTA))
    curve, prior_ratio = draw(curves())
    least, greatest = sorted(draw(st.tuples(lattice(quantum), lattice(quantum))))
    zone_class = ClassRules(name="one", curve=curve, min_micro=least, max_micro=greatest)
    policy = Policy(
        name="any",
        version="any-0",
        timezone=None,
        currency=None,
        ratio=RatioRules(
            prior_drivers_micro=draw(st.integers(1, 20 * MICRO)),
            prior_ratio_micro=prior_ratio,
            low_volume=draw(st.integers(0, 30)),
        ),
        quantum_micro=quantum,
        classes=(zone_class,),
        default_class="one",
    )
    lowest, highest = sorted(draw(st.tuples(lattice(quantum), lattice(quantum))))
    return policy, ZoneRules(zone_class=zone_class, min_micro=lowest, max_micro=highest)


@unhurried
@given(demand=counts, supply=counts, signal=signals, zone_class=classes)
def test_shipped_policy_gives_what_the_definition_says(demand, supply, signal, zone_class):
    rules = SHIPPED.class_named(zone_class)
    zone = ZoneRules(zone_class=rules, min_micro=rules.min_micro, max_micro=rules.max_micro)
    decision = decide(SHIPPED, zone, demand=demand, supply=supply, signal=signal)
    assert decision.raw_micro == surge_model.raw_multiplier(
        demand, supply, signal.value, zone_class=zone_class
    )
    assert decision.multiplier_micro == surge_model.multiplier(
        demand, supply, signal.value, zone_class=zone_class
    )


@unhurried
@given(rules=policies(), demand=counts, supply=counts, more=st.integers(0, 300), signal=signals)
def test_price_rises_with_demand_falls_with_supply(rules, demand, supply, more, signal):
    """P8, for the raw multiplier and for the one that is paid."""
    here = decide(*rules, demand=demand, supply=supply, signal=signal)
    asked = decide(*rules, demand=demand + more, supply=supply, signal=signal)
    served = decide(*rules, demand=demand, supply=supply + more, signal=signal)
    assert served.raw_micro <= here.raw_micro <= asked.raw_micro
    assert served.multiplier_micro <= here.multiplier_micro <= asked.multiplier_micro


@unhurried
@given(rules=policies(), demand=counts, supply=counts, signal=signals)
def test_raw_multiplier_stays_within_the_curve(rules, demand, supply, signal):
    """P8; and without requests, or without a signal, there is no surge."""
    _, zone = rules
    points = zone.zone_class.curve.points
    raw = decide(*rules, demand=demand, supply=supply, signal=signal).raw_micro
    assert points[0][1] <= raw <= points[-1][1]
    if demand == 0 or signal is Signal.SILENT:
        assert raw == MICRO


@unhurried
@given(rules=policies(), demand=counts, supply=counts, signal=signals)
def test_multiplier_is_on_lattice_within_zone_bounds(rules, demand, supply, signal):
    """P11, and so never above what the zone allows, whatever the class says."""
    policy, zone = rules
    price = decide(*rules, demand=demand, supply=supply, signal=signal).multiplier_micro
    assert zone.min_micro <= price <= zone.max_micro
    assert price % policy.quantum_micro == 0


@unhurried
@given(rules=policies(), value=st.integers(0, 12 * MICRO))
def test_last_stages_change_their_own_result_no_more(rules, value):
    """P15."""
    policy, zone = rules
    situation = Situation(policy, zone, 1, 1, Signal.LIVE)
    for stage in PRICE_STAGES:
        once = stage.apply(value, situation).value_micro
        again = stage.apply(once, situation)
        assert (again.value_micro, again.reason) == (once, None)
    assert rounding(value, situation).value_micro <= value


@unhurried
@given(rules=policies(), demand=counts, supply=counts, signal=signals)
def test_stages_join_with_reasons_where_values_changed(rules, demand, supply, signal):
    decision = decide(*rules, demand=demand, supply=supply, signal=signal)
    first, curve, *prices = decision.stages
    assert first.reason in BASE_CODES
    assert decision.reasons[0] is first.reason
    assert not BASE_CODES & set(decision.reasons[1:])
    assert len(set(decision.reasons)) == len(decision.reasons)
    assert first.after == curve.before
    assert decision.raw_micro == curve.after
    for before, step in zip([curve, *prices], prices, strict=False):
        assert step.before == before.after
        assert (step.reason is not None) == (step.before != step.after)
    assert decision.multiplier_micro == decision.stages[-1].after


@unhurried
@given(
    counted=st.integers(0, 40),
    signal=signals,
    ages=st.tuples(st.integers(0, 4_000_000), st.integers(0, 4_000_000)),
)
def test_confidence_falls_with_age_and_stays_within_bounds(counted, signal, ages):
    """P7."""
    percent = confidence_of(counted, 0, signal)
    young, old = (confidence_at(percent, age_ms) for age_ms in sorted(ages))
    assert 10 <= old <= young <= percent <= 100
