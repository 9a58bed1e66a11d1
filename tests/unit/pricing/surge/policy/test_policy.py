import pytest

from pricing.errors import PolicyError
from pricing.model import MICRO, Signal, Zone
from pricing.surge.policy.curve import Curve
from pricing.surge.policy.file import load_policy
from pricing.surge.policy.policy import ZoneRules, decide
from pricing.surge.policy.reasons import Reason
from pricing.surge.policy.windows import WindowConfig

POLICY = load_policy(None, WindowConfig())


def zone(zone_class="core", least=MICRO, greatest=3 * MICRO):
    return Zone(
        zone_id="161",
        name="Midtown Center",
        city_id="nyc",
        zone_class=zone_class,
        base_fare_minor=900,
        currency="USD",
        lat=40.76,
        lon=-73.97,
        area_km2=1.0,
        min_multiplier_micro=least,
        max_multiplier_micro=greatest,
    )


def decided(demand, supply, signal=Signal.LIVE, **of_zone):
    rules = POLICY.rules_for(zone(**of_zone))
    return decide(POLICY, rules, demand=demand, supply=supply, signal=signal)


@pytest.mark.parametrize(
    ("demand", "supply", "raw", "multiplier"),
    [
        (0, 0, 1_000_000, 1_000_000),
        (2, 0, 1_000_000, 1_000_000),
        (3, 0, 1_050_000, 1_050_000),
        (5, 0, 1_250_000, 1_250_000),
        (10, 0, 1_750_000, 1_750_000),
        (28, 0, 3_000_000, 3_000_000),
        (5, 1, 1_125_000, 1_100_000),
        (12, 12, 1_000_000, 1_000_000),
        (20, 10, 1_250_000, 1_250_000),
        (30, 10, 1_583_333, 1_550_000),
        (40, 8, 2_134_615, 2_100_000),
    ],
)
def test_core_zone_follows_the_specified_table(demand, supply, raw, multiplier):
    decision = decided(demand, supply)
    assert decision.raw_micro == raw
    assert decision.multiplier_micro == multiplier


@pytest.mark.parametrize(
    ("demand", "supply", "signal", "reasons"),
    [
        (0, 0, Signal.LIVE, ("no_data",)),
        (12, 0, Signal.LIVE, ("zero_supply",)),
        (0, 12, Signal.LIVE, ("zero_demand",)),
        (12, 12, Signal.LIVE, ("balanced",)),
        (13, 12, Signal.LIVE, ("demand_exceeds_supply",)),
        (1, 0, Signal.LIVE, ("zero_supply", "low_volume")),
        (5, 4, Signal.LIVE, ("demand_exceeds_supply", "low_volume")),
        (5, 5, Signal.LIVE, ("balanced",)),
        (5, 5, Signal.HELD, ("balanced", "supply_held")),
        (3, 3, Signal.HELD, ("balanced", "low_volume", "supply_held")),
        (30, 0, Signal.SILENT, ("supply_unknown",)),
        (30, 10, Signal.LIVE, ("demand_exceeds_supply", "rounded")),
        (99, 0, Signal.LIVE, ("zero_supply", "curve_ceiling")),
    ],
)
def test_reasons_open_with_the_base_code(demand, supply, signal, reasons):
    assert decided(demand, supply, signal).reasons == reasons


def test_silent_city_has_no_surge_whatever_its_demand():
    decision = decided(500, 0, Signal.SILENT)
    assert decision.multiplier_micro == MICRO
    assert decision.stages[0] == ("ratio", 500_000, 500_000, Reason.SUPPLY_UNKNOWN)


@pytest.mark.parametrize(("zone_class", "ceiling"), [("airport", 2_000_000), ("outer", 2_500_000)])
def test_class_has_its_own_curve_and_ceiling(zone_class, ceiling):
    assert decided(99, 0, zone_class=zone_class).multiplier_micro == ceiling
    assert decided(40, 8, zone_class=zone_class).raw_micro < decided(40, 8).raw_micro


def test_unknown_class_falls_to_the_default_class():
    assert decided(40, 8, zone_class="moon") == decided(40, 8, zone_class="outer")


def test_zone_bounds_win_over_those_of_the_class():
    lowered = decided(40, 8, greatest=1_500_000)
    assert lowered.multiplier_micro == 1_500_000
    assert lowered.reasons == ("demand_exceeds_supply", "rounded", "zone_max")
    raised = decided(0, 30, least=1_200_000)
    assert raised.multiplier_micro == 1_200_000
    assert raised.reasons == ("zero_demand", "zone_min")


def test_zone_bounds_between_two_steps_move_inward():
    rules = POLICY.rules_for(zone(least=1_010_000, greatest=1_990_000))
    assert (rules.min_micro, rules.max_micro) == (1_050_000, 1_950_000)


def test_zone_bounds_without_a_step_are_refused():
    with pytest.raises(PolicyError, match="zone 161: no multiple of 50000 lies within 1010000"):
        POLICY.rules_for(zone(least=1_010_000, greatest=1_040_000))


def test_class_bounds_cut_a_curve_that_goes_further():
    zone_class = POLICY.class_named("core")
    narrow = type(zone_class)(
        name="core", curve=zone_class.curve, min_micro=1_100_000, max_micro=1_200_000
    )
    rules = ZoneRules(zone_class=narrow, min_micro=MICRO, max_micro=3 * MICRO)
    high = decide(POLICY, rules, demand=99, supply=0, signal=Signal.LIVE)
    low = decide(POLICY, rules, demand=0, supply=99, signal=Signal.LIVE)
    assert (high.raw_micro, high.multiplier_micro) == (3_000_000, 1_200_000)
    assert high.reasons == ("zero_supply", "curve_ceiling", "zone_max")
    assert (low.multiplier_micro, low.reasons) == (1_100_000, ("zero_demand", "zone_min"))


def test_stages_show_each_step_from_prior_ratio():
    assert [tuple(step) for step in decided(40, 8).stages] == [
        ("ratio", 500_000, 3_269_230, Reason.DEMAND_EXCEEDS_SUPPLY),
        ("curve", 3_269_230, 2_134_615, None),
        ("class_bounds", 2_134_615, 2_134_615, None),
        ("rounding", 2_134_615, 2_100_000, Reason.ROUNDED),
        ("zone_bounds", 2_100_000, 2_100_000, None),
    ]


def test_every_reason_has_a_meaning():
    assert all(reason.meaning for reason in Reason)
    assert Reason("no_data") is Reason.NO_DATA


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (0, 1_000_000),
        (1_000_000, 1_000_000),
        (1_000_003, 1_000_001),
        (2_000_000, 1_500_000),
        (3_000_000, 1_500_000),
        (4_000_000, 2_500_000),
        (9_000_000, 2_500_000),
    ],
)
def test_curve_is_linear_between_points_and_flat_outside(ratio, expected):
    points = ((1_000_000, 1_000_000), (2_000_000, 1_500_000), (3_000_000, 1_500_000))
    assert Curve((*points, (4_000_000, 2_500_000))).at(ratio) == expected


def test_curve_of_one_point_is_flat():
    assert Curve(((1_000_000, 1_000_000),)).at(7_000_000) == 1_000_000


def test_curve_ends_before_ratios_beyond_its_last():
    curve = Curve(((1_000_000, 1_000_000), (6_000_000, 3_000_000)))
    assert not curve.ends_before(6_000_000)
    assert curve.ends_before(6_000_001)


@pytest.mark.parametrize(
    ("points", "reason"),
    [
        ((), "at least one point"),
        (((1, 1), (1, 2)), "ratios must rise, 1 comes after 1"),
        (((1, 2), (2, 1)), "multipliers must not fall, 1 comes after 2"),
    ],
)
def test_curve_refuses_points_out_of_order(points, reason):
    with pytest.raises(ValueError, match=reason):
        Curve(points)
