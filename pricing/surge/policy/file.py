"""Policies as TOML files: read, checked, and given a version."""

from __future__ import annotations

import re
import tomllib
from decimal import Decimal, InvalidOperation
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pricing.errors import PolicyError
from pricing.model import MICRO
from pricing.surge.policy.curve import Curve
from pricing.surge.policy.policy import ClassRules, Policy, RatioRules
from pricing.surge.policy.table import PolicyTable
from pricing.surge.policy.version import policy_version
from pricing.surge.policy.windows import WindowConfig

SCHEMA = 1
SHIPPED_FILE = "nyc.toml"
"""In this package: New York City, so that the service has a policy with nothing set."""

_LEAST_BOUND_MICRO = 500_000
_GREATEST_BOUND_MICRO = 10 * MICRO
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_CURRENCY = re.compile(r"[A-Z]{3}")


def load_policy(path: Path | None, window: WindowConfig) -> Policy:
    """Read and check the policy file at `path`, or the shipped one for None.

    Raises:
        PolicyError: it cannot be read, or a value in it cannot be used.
    """
    file = files("pricing.surge.policy").joinpath(SHIPPED_FILE) if path is None else path
    source = SHIPPED_FILE if path is None else str(path)
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise PolicyError(source, "", f"cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise PolicyError(source, "", f"is not UTF-8 at byte {error.start}") from error
    return parse_policy(text, source=source, window=window)


def parse_policy(text: str, *, source: str, window: WindowConfig) -> Policy:
    """Check the text of a policy; `source` names it in errors.

    Raises:
        PolicyError: the text is no TOML, or a value in it cannot be used.
    """
    try:
        tree = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, InvalidOperation, RecursionError) as error:
        # Beside wrong syntax: a number or a nesting too large for the parser.
        reason = "a number or a nesting beyond all limits"
        if isinstance(error, tomllib.TOMLDecodeError):
            reason = str(error)
        raise PolicyError(source, "", f"is not TOML: {reason}") from error
    table = PolicyTable(
        source, "", tree, keys=("schema", "policy", "ratio", "rounding", "class"), optional=()
    )
    schema = table.whole("schema")
    table.require(schema == SCHEMA, "schema", f"only {SCHEMA} is known, got {schema}")
    about = table.table("policy", keys=("name",), optional=("timezone", "currency"))
    name = about.matching("name", _NAME)
    ratio = _ratio(table)
    quantum_micro = _quantum(table)
    classes, default_class = _classes(table, ratio.prior_ratio_micro, quantum_micro)
    return Policy(
        name=name,
        version=policy_version(name, tree, window),
        timezone=_timezone(about),
        currency=about.matching("currency", _CURRENCY) if "currency" in about else None,
        ratio=ratio,
        quantum_micro=quantum_micro,
        classes=classes,
        default_class=default_class,
    )


def _ratio(table: PolicyTable) -> RatioRules:
    within = table.table("ratio", keys=("prior_drivers", "prior_ratio", "low_volume"))
    prior_drivers_micro = within.micro("prior_drivers")
    within.require(prior_drivers_micro > 0, "prior_drivers", "must be greater than 0, got 0")
    return RatioRules(
        prior_drivers_micro=prior_drivers_micro,
        prior_ratio_micro=within.micro("prior_ratio"),
        low_volume=within.whole("low_volume"),
    )


def _quantum(table: PolicyTable) -> int:
    within = table.table("rounding", keys=("quantum",))
    quantum_micro = within.micro("quantum")
    divides_one = quantum_micro > 0 and MICRO % quantum_micro == 0
    shown = _decimal(quantum_micro)
    within.require(divides_one, "quantum", f"1.0 must be a multiple of it, got {shown}")
    return quantum_micro


def _classes(
    table: PolicyTable, prior_ratio_micro: int, quantum_micro: int
) -> tuple[tuple[ClassRules, ...], str]:
    """Every class, and the name of the default one."""
    classes, defaults = [], []
    for name, within in table.tables("class", keys=("curve", "bounds"), optional=("default",)):
        within.require(_NAME.fullmatch(name) is not None, "", f"must match {_NAME.pattern}")
        if within.flag("default"):
            defaults.append(name)
        curve = _curve(within, prior_ratio_micro)
        least, greatest = _bounds(within, quantum_micro)
        classes.append(ClassRules(name=name, curve=curve, min_micro=least, max_micro=greatest))
    named = ", ".join(defaults) or "none"
    table.require(len(defaults) == 1, "class", f"exactly one must be the default, got {named}")
    return tuple(classes), defaults[0]


def _curve(table: PolicyTable, prior_ratio_micro: int) -> Curve:
    points = table.points("curve")
    for index, ((x0, y0), (x1, y1)) in enumerate(pairwise(points), start=1):
        name = f"curve[{index}]"
        rise = f"ratios must rise, {_decimal(x1)} comes after {_decimal(x0)}"
        table.require(x1 > x0, name, rise)
        fall = f"multipliers must not fall, {_decimal(y1)} comes after {_decimal(y0)}"
        table.require(y1 >= y0, name, fall)
    curve = Curve(tuple(points))
    usual_micro = curve.at(prior_ratio_micro)
    at_prior = f"must be 1.0 at the prior ratio {_decimal(prior_ratio_micro)}"
    table.require(usual_micro == MICRO, "curve", f"{at_prior}, got {_decimal(usual_micro)}")
    return curve


def _bounds(table: PolicyTable, quantum_micro: int) -> tuple[int, int]:
    within = table.table("bounds", keys=("min", "max"))
    bounds = {key: within.micro(key) for key in ("min", "max")}
    for key, micro in bounds.items():
        is_sane = _LEAST_BOUND_MICRO <= micro <= _GREATEST_BOUND_MICRO
        within.require(is_sane, key, f"must lie within 0.5 and 10, got {_decimal(micro)}")
        reason = f"{_decimal(micro)} is not a multiple of the quantum {_decimal(quantum_micro)}"
        within.require(micro % quantum_micro == 0, key, reason)
    least, greatest = bounds["min"], bounds["max"]
    reason = f"{_decimal(least)} is greater than max, {_decimal(greatest)}"
    within.require(least <= greatest, "min", reason)
    return least, greatest


def _timezone(table: PolicyTable) -> str | None:
    if "timezone" not in table:
        return None
    name = table.text("timezone")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # ValueError: a name that leaves the database; OSError: one that is a directory in it.
        table.require(False, "timezone", f"unknown time zone {name!r}")
    return name


def _decimal(micro: int) -> str:
    """Millionths as a person writes them: 1250000 is 1.25."""
    return f"{Decimal(micro).scaleb(-6).normalize():f}"
