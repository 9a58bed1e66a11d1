"""The metrics of the mode, as an observer of the orchestrator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

from fallback.mode import BoundsKind, EventKind, ModeEvent, ModeState
from fallback.mode.override import Override


class ModeMetrics:
    """The part of the API's registry that tells of the mode.

    `shares`: how much of its load each store is given now, in per cent, by name.
    """

    def __init__(
        self, registry: CollectorRegistry, shares: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self._shares = shares

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self._computed = gauge("mode_level", "What the inputs say: 0 normal to 4 critical.")
        self._effective = gauge("mode_effective_level", "What holds, under an override.")
        # The name that dashboards of such systems know.
        self._system = gauge("system_degradation_level", "The same as mode_effective_level.")
        self._input_level = gauge("mode_input_level", "The level of each input.", "input")
        self._input_value = gauge("mode_input_value", "What an input shows, if a figure.", "input")
        self._blind = gauge("mode_blind_inputs", "Inputs without a reading for 30 s.")
        self._flapping = gauge("mode_flapping", "1 while the mode goes to and fro.")
        self._override = gauge("override_active", "1 while an override holds.", "kind")
        self._below = gauge("override_below_computed", "1 while one holds the mode too good.")
        self._ramp = gauge("ramp_share_percent", "Share of the calls that go there.", "dependency")
        self._transitions = Counter(
            "mode_transitions",
            "Changes of the level in effect, by the worst input, `operator` or `recovery`.",
            ["from", "to", "cause"],
            registry=registry,
        )
        self._degradations = Counter(
            "degradation_events", "Changes for the worse.", ["level"], registry=registry
        )
        self._seconds = Counter("mode_seconds", "Time at a level.", ["level"], registry=registry)

    def on_step(self, state: ModeState, seen_s: float) -> None:
        self._computed.set(state.computed)
        self._effective.set(state.effective)
        self._system.set(state.effective)
        self._seconds.labels(state.effective.word).inc(max(0.0, seen_s))
        self._flapping.set(state.is_flapping)
        self._blind.set(sum(one.is_blind for one in state.inputs.values()))
        for name, one in state.inputs.items():
            self._input_level.labels(name).set(one.level)
            if isinstance(one.value, int | float):
                self._input_value.labels(name).set(one.value)
        for name, percent in self._shares().items():
            self._ramp.labels(name).set(percent)
        self._below.set(state.effective < state.computed)
        if not state.was_bounded:
            for kind in BoundsKind:
                self._override.labels(kind.value).set(0)

    def on_mode_event(self, event: ModeEvent, override: Override | None) -> None:
        if event.kind is EventKind.MODE:
            self._transitions.labels(event.old.word, event.new.word, _cause(event)).inc()
            if event.new > event.old:
                self._degradations.labels(event.new.word).inc()
        if override is not None:
            self.override(override)

    def override(self, override: Override) -> None:
        """Note that an override holds."""
        for kind in BoundsKind:
            self._override.labels(kind.value).set(kind is override.kind)

    def on_override_ended(self, override: Override) -> None:
        self._override.labels(override.kind.value).set(0)


def _cause(event: ModeEvent) -> str:
    if event.bounds is not None:
        return "operator"
    return event.causes[0].input if event.new > event.old and event.causes else "recovery"
