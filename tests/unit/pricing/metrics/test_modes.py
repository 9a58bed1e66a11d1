from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from fallback.mode import BoundsKind, Level, Reading
from fallback.mode.orchestrator import Orchestrator
from fallback.mode.override import OverrideRequest
from pricing.metrics.modes import ModeMetrics
from pricing.metrics.registry import register
from tests.support.fake_clock import FakeClocks
from tests.support.mode_inputs import CONFIG


class Measured:
    """A mode whose input `store` the test sets, and its metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.clocks = FakeClocks()
        self.store = Level.NORMAL
        self.share = 100
        self.orchestrator = Orchestrator(
            CONFIG,
            {
                "load": lambda _: Reading(value=0.0),
                "latency": lambda _: Reading(value=0.0),
                "store": lambda _: Reading(
                    value="", entered=self.store, kept=self.store, is_hard=True
                ),
            },
            observers=(register(ModeMetrics, self.registry, shares=lambda: {"redis": self.share}),),
            now_s=self.clocks.now_s,
            wall_s=self.clocks.wall_s,
            boot_id="boot",
        )

    def tick(self, store: Level) -> None:
        self.store = store
        self.clocks.advance(1.0)
        self.orchestrator.step()

    async def pin(self, level: Level) -> None:
        await self.orchestrator.set_override(
            OverrideRequest(
                kind=BoundsKind.PIN, level=level, reason="the probe is wrong", actor="anna"
            )
        )

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


@pytest.fixture
def measured() -> Measured:
    return Measured()


async def test_override_below_computed_level_shows(measured):
    await measured.pin(Level.MINOR)
    assert measured.value("override_below_computed") == 0
    measured.tick(Level.SEVERE)
    assert measured.value("override_below_computed") == 1
    assert measured.value("override_active", kind="pin") == 1
    await measured.orchestrator.end_override()
    assert measured.value("override_below_computed") == 0
    assert measured.value("override_active", kind="pin") == 0


def test_share_of_load_given_shows(measured):
    for share in (100, 5, 70, 100):
        measured.share = share
        measured.tick(Level.NORMAL)
        assert measured.value("ramp_share_percent", dependency="redis") == share


async def test_transition_names_its_cause(measured):
    measured.tick(Level.SEVERE)
    assert _changes(measured, "normal", "severe", "store") == 1
    for _ in range(60):
        measured.tick(Level.NORMAL)
    assert _changes(measured, "severe", "moderate", "recovery") == 1
    await measured.pin(Level.CRITICAL)
    assert _changes(measured, "moderate", "critical", "operator") == 1


def _changes(measured: Measured, old: str, new: str, cause: str) -> float | None:
    labels = {"from": old, "to": new, "cause": cause}
    return measured.value("mode_transitions_total", **labels)
