"""The system mode: how bad things are, from everything that a process knows about itself.

`step(config, state, inputs, now_s)` is pure: no I/O, no clock, no lock. The files: `level.py`
(five levels, three public modes), `scale.py` (thresholds to enter and to leave a level),
`config.py` (inputs and dwells), `state.py` (what is kept, what is told), `input_level.py` (one
input), `reducer.py` (the step). The shell around them: `orchestrator.py` (a step a tick, and its
observers) and `override.py` (an operator's bounds, on disk). Imports `fallback`'s shared words.
"""

from fallback.mode.config import InputSpec, ModeConfig
from fallback.mode.level import Level, Mode
from fallback.mode.reducer import initial, recovery_bound_s, step
from fallback.mode.scale import Band, Scale
from fallback.mode.state import (
    Bounds,
    BoundsKind,
    Cause,
    EventKind,
    Inputs,
    InputState,
    ModeEvent,
    ModeState,
    Reading,
    causes,
)

__all__ = [
    "Band",
    "Bounds",
    "BoundsKind",
    "Cause",
    "EventKind",
    "InputSpec",
    "InputState",
    "Inputs",
    "Level",
    "Mode",
    "ModeConfig",
    "ModeEvent",
    "ModeState",
    "Reading",
    "Scale",
    "causes",
    "initial",
    "recovery_bound_s",
    "step",
]
