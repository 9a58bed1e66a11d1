"""One input in one step: from a reading to the level at which it is believed to stand."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import median

from fallback.mode.config import InputSpec, ModeConfig
from fallback.mode.level import Level
from fallback.mode.scale import WORSE
from fallback.mode.state import InputState, Reading

_NO_STREAKS = (0, 0, 0, 0)


def after_tick(
    config: ModeConfig, spec: InputSpec, was: InputState, reading: Reading | None, now_s: float
) -> InputState:
    """The input after a regular step. A figure that is no number is no reading."""
    if reading is None or (isinstance(reading.value, float) and math.isnan(reading.value)):
        return _missing(config, was, now_s)
    history: tuple[float, ...] = ()
    if spec.scale is not None:
        reading, history = _judged(config, spec, was, reading)
    # One streak a level: readings that jump between two bad levels still prove the lower one.
    streaks = _streaks(was.streaks, reading.entered)
    believed = _believed(config, streaks)
    if reading.is_hard:
        believed = reading.entered
    # Not left while the figure lies within the band, and never above where it stood by that.
    level = max(believed, min(was.level, reading.kept))
    return InputState(
        seen_s=now_s,
        level=level,
        kept=reading.kept,
        value=reading.value,
        threshold=_threshold(spec, reading, level),
        history=history,
        streaks=streaks,
    )


def after_hard_cause(
    spec: InputSpec, was: InputState, reading: Reading | None, now_s: float
) -> InputState:
    """The input after a step between two ticks: only a hard cause that is worse counts."""
    if reading is None or not reading.is_hard or reading.entered <= was.level:
        return was
    return replace(
        was,
        seen_s=now_s,
        level=reading.entered,
        kept=max(was.kept, reading.kept),
        value=reading.value,
        threshold=_threshold(spec, reading, reading.entered),
        is_blind=False,
    )


def _missing(config: ModeConfig, was: InputState, now_s: float) -> InputState:
    # What was bad a moment ago is no better for not being seen; nor does it get worse by it.
    if now_s - was.seen_s < config.blind_after_s:
        return was
    return replace(
        was,
        level=Level.MINOR,
        kept=Level.MINOR,
        value=None,
        threshold=None,
        history=(),
        streaks=_NO_STREAKS,
        is_blind=True,
    )


def _judged(
    config: ModeConfig, spec: InputSpec, was: InputState, reading: Reading
) -> tuple[Reading, tuple[float, ...]]:
    if spec.scale is None or isinstance(reading.value, str):
        raise ValueError(f"{spec.name}: value={reading.value!r} is no figure")
    value, history = reading.value, was.history
    if spec.smoothed:
        history = (*was.history, value)[-config.median_ticks :]
        value = median(history)
    entered = spec.scale.entered(value)
    kept = spec.scale.kept(value)
    return Reading(value=value, entered=entered, kept=kept, is_hard=reading.is_hard), history


def _streaks(was: tuple[int, int, int, int], entered: Level) -> tuple[int, int, int, int]:
    first, second, third, fourth = (
        streak + 1 if entered >= level else 0 for level, streak in zip(WORSE, was, strict=True)
    )
    return first, second, third, fourth


def _believed(config: ModeConfig, streaks: tuple[int, int, int, int]) -> Level:
    reached = [
        level for level, streak in zip(WORSE, streaks, strict=True) if streak >= config.up_ticks
    ]
    return max(reached, default=Level.NORMAL)


def _threshold(spec: InputSpec, reading: Reading, level: Level) -> float | str | None:
    return spec.scale.threshold(level) if spec.scale is not None else reading.threshold
