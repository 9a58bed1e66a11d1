from __future__ import annotations

from typing import Any

from fallback.mode import Level
from pricing.drill.recovery import Recovery


def body(
    level: str, cause: str = "normal", *, breaker: str = "CLOSED", ramp: int = 100
) -> dict[str, Any]:
    store = {"breaker": breaker, "ramp_percent": ramp}
    return {
        "level": level,
        "inputs": {"store": {"level": "normal", "holds": cause}},
        "backlog": {"state": "healthy"},
        "dependencies": {"redis": store, "database": store},
    }


def followed(*seen: tuple[float, dict[str, Any]]) -> Recovery:
    recovery = Recovery(dwell_s=10)
    for at_s, told in seen:
        recovery.see(at_s, told)
    return recovery


def test_each_level_is_measured_from_its_last_reason():
    recovery = followed(
        (0, body("severe", "severe")),
        (5, body("severe", "moderate")),
        (16, body("moderate", "moderate")),
        (20, body("moderate", "minor")),
        (27, body("minor")),
        (40, body("normal")),
    )
    assert recovery.steps == [(Level.SEVERE, 6), (Level.MODERATE, 1), (Level.MINOR, 3)]
    assert recovery.latest_s == 6


def test_ramp_that_outlasts_the_dwell_is_waited_for():
    recovery = followed(
        (0, body("minor", "minor")),
        (1, body("minor", ramp=5)),
        (20, body("minor", ramp=70)),
        (21, body("normal")),
    )
    assert recovery.steps == [(Level.MINOR, 1)]
    assert (recovery.answering_s, recovery.loaded_s) == (0, 21)


def test_store_that_falls_again_does_not_answer_yet():
    recovery = followed(
        (0, body("minor", "minor", breaker="OPEN")),
        (1, body("minor", ramp=5)),
        (2, body("minor", "minor", breaker="OPEN")),
        (3, body("minor", ramp=5)),
    )
    assert (recovery.answering_s, recovery.loaded_s, recovery.latest_s) == (3, None, 0)
