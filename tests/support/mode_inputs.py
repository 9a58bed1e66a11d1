"""A small mode to test with: one figure, one smoothed figure, one input that brings its levels."""

from __future__ import annotations

from collections.abc import Iterable

from fallback.mode import (
    Band,
    Inputs,
    InputSpec,
    Level,
    ModeConfig,
    ModeEvent,
    ModeState,
    Reading,
    Scale,
    initial,
    step,
)

SCALE = Scale(minor=Band(10, 5), moderate=Band(20, 15), severe=Band(30, 25), critical=Band(40, 35))
NAMES = ("load", "latency", "store")
CONFIG = ModeConfig(
    inputs=(
        InputSpec(name="load", scale=SCALE),
        InputSpec(name="latency", scale=SCALE, smoothed=True),
        InputSpec(name="store"),
    )
)


def readings(
    load: float = 0.0, latency: float = 0.0, store: Level = Level.NORMAL, *, hard: bool = False
) -> dict[str, Reading]:
    """One reading of each input."""
    return {
        "load": Reading(value=load),
        "latency": Reading(value=latency),
        "store": Reading(value=store.word, entered=store, kept=store, is_hard=hard),
    }


def inputs(
    load: float = 0.0, latency: float = 0.0, store: Level = Level.NORMAL, *, hard: bool = False
) -> Inputs:
    return Inputs(readings=readings(load, latency, store, hard=hard))


def run(
    config: ModeConfig,
    trace: Iterable[Inputs],
    *,
    state: ModeState | None = None,
    dt_s: float = 1.0,
) -> tuple[ModeState, list[ModeEvent]]:
    """Step through a trace, a tick apart, from `state` or the beginning."""
    state = state or initial(config, 0.0)
    events: list[ModeEvent] = []
    for each in trace:
        state, told = step(config, state, each, state.last_s + dt_s)
        events += told
    return state, events


def levels(events: Iterable[ModeEvent]) -> list[str]:
    """The changes of the level in effect, as `old>new`."""
    return [f"{event.old.word}>{event.new.word}" for event in events if event.kind == "mode"]
