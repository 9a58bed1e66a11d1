"""The metrics of the mode, as an observer of the orchestrator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Gauge

from fallback.mode import BoundsKind, EventKind, ModeEvent, ModeState
from fallback.mode.override import Override
from pricing.metrics.registry import counter, gauge


@dataclass(slots=True, kw_only=True)
class ModeMetrics:
    """The part of the API's registry that tells of the mode."""

    shares: Callable[[], Mapping[str, int]]
    """How much of its load each store is given now, in per cent, by name."""
    computed: Gauge = gauge("mode_level", "What the inputs say: 0 normal to 4 critical.")
    effective: Gauge = gauge("mode_effective_level", "What holds, under an override.")
    # The name that dashboards of such systems know.
    system: Gauge = gauge("system_degradation_level", "The same as mode_effective_level.")
    input_level: Gauge = gauge("mode_input_level", "The level of each input.", "input")
    input_value: Gauge = gauge("mode_input_value", "What an input shows, if a figure.", "input")
    blind: Gauge = gauge("mode_blind_inputs", "Inputs without a reading for 30 s.")
    flapping: Gauge = gauge("mode_flapping", "1 while the mode goes to and fro.")
    overrides: Gauge = gauge("override_active", "1 while an override holds.", "kind")
    below: Gauge = gauge("override_below_computed", "1 while one holds the mode too good.")
    ramp: Gauge = gauge("ramp_share_percent", "Share of the calls that go there.", "dependency")
    transitions: Counter = counter(
        "mode_transitions",
        "Changes of the level in effect, by the worst input, `operator` or `recovery`.",
        "from",
        "to",
        "cause",
    )
    degradations: Counter = counter("degradation_events", "Changes for the worse.", "level")
    seconds: Counter = counter("mode_seconds", "Time at a level.", "level")

    def on_step(self, state: ModeState, seen_s: float) -> None:
        self.computed.set(state.computed)
        self.effective.set(state.effective)
        self.system.set(state.effective)
        self.seconds.labels(state.effective.word).inc(max(0.0, seen_s))
        self.flapping.set(state.is_flapping)
        self.blind.set(sum(shown.is_blind for shown in state.inputs.values()))
        for name, shown in state.inputs.items():
            self.input_level.labels(name).set(shown.level)
            if isinstance(shown.value, int | float):
                self.input_value.labels(name).set(shown.value)
        for name, percent in self.shares().items():
            self.ramp.labels(name).set(percent)
        self.below.set(state.effective < state.computed)
        if not state.was_bounded:
            for kind in BoundsKind:
                self.overrides.labels(kind.value).set(0)

    def on_mode_event(self, event: ModeEvent, override: Override | None) -> None:
        if event.kind is EventKind.MODE:
            self.transitions.labels(event.old.word, event.new.word, _cause(event)).inc()
            if event.new > event.old:
                self.degradations.labels(event.new.word).inc()
        if override is not None:
            self.override(override)

    def override(self, override: Override) -> None:
        """Note that an override holds."""
        for kind in BoundsKind:
            self.overrides.labels(kind.value).set(kind is override.kind)

    def on_override_ended(self, override: Override) -> None:
        self.overrides.labels(override.kind.value).set(0)


def _cause(event: ModeEvent) -> str:
    if event.bounds is not None:
        return "operator"
    return event.causes[0].input if event.new > event.old and event.causes else "recovery"
