import tomllib
from decimal import Decimal
from hashlib import sha256
from importlib.resources import files

import pytest

from pricing.errors import PolicyError
from pricing.model import MICRO
from pricing.surge.policy.file import load_policy, parse_policy
from pricing.surge.policy.table import GREATEST_NUMBER
from pricing.surge.policy.version import policy_version
from pricing.surge.policy.windows import WindowConfig

SHIPPED = files("pricing.surge.policy").joinpath("nyc.toml").read_text(encoding="utf-8")
WINDOW = WindowConfig()


def parsed(old="", new="", *, window=WINDOW):
    """The shipped policy with one piece of its text replaced."""
    assert old in SHIPPED
    return parse_policy(SHIPPED.replace(old, new, 1), source="test.toml", window=window)


def test_shipped_policy_has_the_specified_rules():
    policy = load_policy(None, WINDOW)
    assert policy.ratio.prior_drivers_micro == 5_000_000
    assert policy.ratio.prior_ratio_micro == 500_000
    assert policy.ratio.low_volume == 10
    assert policy.quantum_micro == 50_000
    assert policy.default_class == "outer"
    bounds = {rules.name: (rules.min_micro, rules.max_micro) for rules in policy.classes}
    assert bounds == {
        "core": (1_000_000, 3_000_000),
        "airport": (1_000_000, 2_000_000),
        "outer": (1_000_000, 2_500_000),
    }


def test_shipped_policy_keeps_its_version():
    """Prices change when this one does: change it on purpose only."""
    assert load_policy(None, WINDOW).version == "nyc-430d2842a1ff"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("prior_ratio = 0.5", "prior_ratio = 0.50"),
        ("prior_drivers = 5", "prior_drivers = 5.0"),
        ("# Surge policy", "# A remark"),
        ("prior_drivers = 5, prior_ratio = 0.5", "prior_ratio = 5e-1, prior_drivers = 5"),
    ],
)
def test_version_ignores_the_form_of_the_file(old, new):
    assert parsed(old, new).version == load_policy(None, WINDOW).version


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("prior_ratio = 0.5", "prior_ratio = 0.500001"),
        ("low_volume = 10", "low_volume = 11"),
        ('name = "nyc"', 'name = "nyc", currency = "USD"'),
        ("[6.0, 3.0]", "[6.0, 2.95]"),
    ],
)
def test_version_changes_with_every_rule(old, new):
    assert parsed(old, new).version != load_policy(None, WINDOW).version


@pytest.mark.parametrize("field", WindowConfig.__dataclass_fields__)
def test_version_changes_with_every_setting_of_the_window(field):
    window = WindowConfig(**{field: getattr(WINDOW, field) + 500})
    assert load_policy(None, window).version != load_policy(None, WINDOW).version


def test_version_is_a_hash_of_canonical_json():
    tree = tomllib.loads('schema = 1\nb = [0.3, true]\na = "é"', parse_float=Decimal)
    canonical = (
        '{"a":"é","b":["300000",true],"schema":"1000000","state":{"demand_window_s":"300000000",'
        '"grace_ms":"250000000","supply_hold_after_s":"20000000","supply_unknown_after_s":'
        '"180000000","supply_window_s":"60000000","tick_s":"5000000"}}'
    )
    digest = sha256(canonical.encode()).hexdigest()
    assert policy_version("x", tree, WINDOW) == f"x-{digest[:12]}"


def test_policy_of_a_path_is_read(tmp_path):
    path = tmp_path / "other.toml"
    path.write_text(SHIPPED.replace('name = "nyc"', 'name = "other"'), encoding="utf-8")
    assert load_policy(path, WINDOW).version.startswith("other-")


def test_time_zone_and_currency_are_kept():
    zone = 'name = "nyc", timezone = "UTC", currency = "USD"'
    policy = parsed('name = "nyc"', zone)
    assert (policy.timezone, policy.currency) == ("UTC", "USD")


def test_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(PolicyError, match=r"none\.toml: cannot be read: No such file"):
        load_policy(tmp_path / "none.toml", WINDOW)


def test_file_that_is_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "latin.toml"
    path.write_bytes(b"# caf\xe9")
    with pytest.raises(PolicyError, match="is not UTF-8 at byte 5"):
        load_policy(path, WINDOW)


@pytest.mark.parametrize("text", ["schema =", "a = " + "1" * 5_000, "a = 1e" + "9" * 30])
def test_text_that_is_no_toml_is_refused(text):
    with pytest.raises(PolicyError, match=r"test\.toml: is not TOML: "):
        parse_policy(text, source="test.toml", window=WINDOW)


CORE_CURVE = "[[1.0, 1.0], [2.0, 1.5], [4.0, 2.5], [6.0, 3.0]]"
CORE_BOUNDS = "{ min = 1.0, max = 3.0 }"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("prior_ratio = 0.5", "prior_ratio = nan", "ratio.prior_ratio: must be finite, got NaN"),
        ("prior_ratio = 0.5", "prior_ratio = inf", "ratio.prior_ratio: must be finite, got Inf"),
        ("prior_ratio = 0.5", "prior_ratio = -0.5", "ratio.prior_ratio: must not be negative, got"),
        ("prior_ratio = 0.5", "prior_ratio = true", "ratio.prior_ratio: must be a number, got t"),
        ("prior_ratio = 0.5", 'prior_ratio = "1"', "ratio.prior_ratio: must be a number, got '1'"),
        (
            "prior_ratio = 0.5",
            "prior_ratio = []",
            "ratio.prior_ratio: must be a number, got a list",
        ),
        ("prior_ratio = 0.5", "prior_ratio = {}", "ratio.prior_ratio: must be a number, got a tab"),
        ("prior_ratio = 0.5", "prior_ratio = 2020-01-01", "ratio.prior_ratio: must be a number, "),
        (
            "prior_ratio = 0.5",
            "prior_ratio = 0.1234567",
            "prior_ratio: has more than 6 decimals: 0",
        ),
        ("prior_ratio = 0.5", "prior_ratio = 1e-99999999", "ratio.prior_ratio: has more than 6 d"),
        (
            "prior_ratio = 0.5",
            "prior_ratio = 1e99999999",
            "ratio.prior_ratio: must be <= 1000, got",
        ),
        ("prior_drivers = 5", "prior_drivers = 0", "ratio.prior_drivers: must be greater than 0"),
        (
            "low_volume = 10",
            "low_volume = 1.5",
            "ratio.low_volume: must be a whole number, got 1.5",
        ),
        ("low_volume = 10", "low_volume = 10, k = 1", "ratio.k: unknown key"),
        (", low_volume = 10", "", "ratio.low_volume: is missing"),
        ("schema = 1", "schema = 2", "schema: only 1 is known, got 2"),
        ("schema = 1", "smoothing = {}\nschema = 1", "smoothing: unknown key"),
        ("schema = 1", "", "schema: is missing"),
        ("{ quantum = 0.05 }", "0.05", "rounding: must be a table, got 0.05"),
        ("quantum = 0.05", "quantum = 0", "rounding.quantum: 1.0 must be a multiple of it, got 0"),
        (
            "quantum = 0.05",
            "quantum = 0.3",
            "rounding.quantum: 1.0 must be a multiple of it, got 0",
        ),
        ('name = "nyc"', 'name = "a b"', "policy.name: 'a b' does not match"),
        ('name = "nyc"', "name = 1", "policy.name: must be a string, got 1"),
        ('name = "nyc"', 'name = "nyc", currency = "usd"', "policy.currency: 'usd' does not match"),
        (
            'name = "nyc"',
            'name = "nyc", timezone = "Mars"',
            "policy.timezone: unknown time zone 'M",
        ),
        (
            'name = "nyc"',
            'name = "nyc", timezone = "../x"',
            "policy.timezone: unknown time zone '.",
        ),
        ('name = "nyc"', 'name = "nyc", timezone = "America"', "policy.timezone: unknown time zon"),
        (CORE_CURVE, "[]", "class.core.curve: must be a list of pairs of numbers, got a list"),
        (CORE_CURVE, "1.0", "class.core.curve: must be a list of pairs of numbers, got 1.0"),
        (CORE_CURVE, "[1.0]", "class.core.curve[0]: must be a pair of numbers, got 1.0"),
        (CORE_CURVE, '[[1.0, "x"]]', "class.core.curve[0]: must be a number, got 'x'"),
        ("[2.0, 1.5]", "[1.0, 1.5]", "class.core.curve[1]: ratios must rise, 1 comes after 1"),
        ("[2.0, 1.5]", "[2.0, 0.9]", "class.core.curve[1]: multipliers must not fall, 0.9 comes"),
        ("[[1.0, 1.0]", "[[0.0, 1.0]", "class.core.curve: must be 1.0 at the prior ratio 0.5, got"),
        (CORE_BOUNDS, "{ min = 1.0, max = 3.03 }", "class.core.bounds.max: 3.03 is not a multiple"),
        (
            CORE_BOUNDS,
            "{ min = 0.45, max = 3 }",
            "class.core.bounds.min: must lie within 0.5 and 10",
        ),
        (CORE_BOUNDS, "{ min = 1, max = 10.05 }", "class.core.bounds.max: must lie within 0.5 and"),
        (
            CORE_BOUNDS,
            "{ min = 2, max = 1.5 }",
            "class.core.bounds.min: 2 is greater than max, 1.5",
        ),
        (CORE_BOUNDS, "{ min = 1, max = 3, x = 1 }", "class.core.bounds.x: unknown key"),
        ("default = true", "", "class: exactly one must be the default, got none"),
        (
            "[class.airport]",
            "[class.airport]\ndefault = true",
            "class: exactly one must be the def",
        ),
        ("default = true", "default = 1", "class.outer.default: must be true or false, got 1"),
        ("[class.core]", '[class."a b"]', "class.a b: must match"),
        ("[class.core]", "[class.core]\nzones = []", "class.core.zones: unknown key"),
    ],
)
def test_unusable_value_is_refused_by_name(old, new, reason):
    with pytest.raises(PolicyError) as refused:
        parsed(old, new)
    assert reason in str(refused.value)
    assert str(refused.value).startswith(f"test.toml: {refused.value.key}: ")


def test_greatest_number_keeps_intermediates_in_64_bits():
    """With eight million requests in a zone, and nothing else in the policy moderate."""
    greatest = GREATEST_NUMBER * MICRO
    assert 8_000_000 * MICRO**2 + greatest * greatest < 2**63


@pytest.mark.parametrize("classes", ["class = 1", "class = {}", "class = { core = 1 }"])
def test_classes_that_are_no_tables_are_refused(classes):
    head = SHIPPED[: SHIPPED.index("[class.core]")]
    with pytest.raises(PolicyError, match="class"):
        parse_policy(head + classes, source="test.toml", window=WINDOW)
