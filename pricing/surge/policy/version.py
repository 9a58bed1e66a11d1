"""The version of a policy: the same for the same rules, whatever the file looks like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from typing import Any

from pricing.surge.policy.table import to_micro
from pricing.surge.policy.windows import WindowConfig


def policy_version(name: str, tree: Mapping[str, Any], window: WindowConfig) -> str:
    """`<name>-<12 hex>` of a parsed and checked policy file and the window's settings.

    The digits are the start of a SHA-256 over canonical JSON: keys sorted, no spaces, UTF-8,
    each number as a string of its millionths. So comments, order and 0.3 against 0.30 do not
    matter, and the settings of the window, which change prices too, do.
    """
    document = json.dumps(
        _canonical({**tree, "state": _state(window)}),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    return f"{name}-{sha256(document.encode()).hexdigest()[:12]}"


def _state(window: WindowConfig) -> dict[str, Decimal]:
    """The window's settings under the names, and in the units, of the environment."""
    return {
        "tick_s": _seconds(window.tick_ms),
        "grace_ms": Decimal(window.grace_ms),
        "demand_window_s": _seconds(window.demand_window_ms),
        "supply_window_s": _seconds(window.supply_window_ms),
        "supply_hold_after_s": _seconds(window.supply_hold_after_ms),
        "supply_unknown_after_s": _seconds(window.supply_unknown_after_ms),
    }


def _seconds(milliseconds: int) -> Decimal:
    return Decimal(milliseconds).scaleb(-3)


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return str(to_micro(value))
    return value
