"""What the mode watches, with the thresholds of each level (`docs/operations/modes.md`)."""

from __future__ import annotations

from fallback.mode import Band, InputSpec, ModeConfig, Scale

SPOOL_PERCENT = Scale(
    minor=Band(50, 30), moderate=Band(75, 50), severe=Band(90, 70), critical=Band(100, 95)
)
SPOOL_AGE_S = Scale(minor=Band(30, 10), moderate=Band(120, 60))
READ_P95_MS = Scale(
    minor=Band(60, 45), moderate=Band(100, 80), severe=Band(250, 180), critical=Band(600, 400)
)
READ_P99_MS = Scale(minor=Band(120, 90), moderate=Band(300, 200), severe=Band(800, 500))
LOOP_LAG_MS = Scale(minor=Band(100, 50), moderate=Band(200, 100), severe=Band(1_000, 500))
"""Wider than a machine of one's own would need: on two shared cores an idle process already
comes 20 ms late now and then. A starved process still answers; what clients wait for is in the
read times."""
STALE_PERCENT = Scale(minor=Band(1, 0.5), moderate=Band(10, 5), severe=Band(40, 25))
DEFAULT_PERCENT = Scale(
    minor=Band(0.05, 0.02), moderate=Band(0.5, 0.2), severe=Band(5, 2), critical=Band(25, 10)
)
BUDGET_BURN = Scale(
    minor=Band(1, 0.5), moderate=Band(6, 3), severe=Band(14.4, 7), critical=Band(50, 25)
)
_ZONE_AGE_S = ((15, 10), (60, 40), (180, 120), (600, 400))
_SPEC_TICK_S = 5


def zone_age_scale(tick_s: float) -> Scale:
    """Ages in seconds, for ticks of 5 s or less; in proportion for longer ones."""
    factor = max(1.0, tick_s / _SPEC_TICK_S)
    return Scale(*(Band(enter * factor, leave * factor) for enter, leave in _ZONE_AGE_S))


def mode_config(*, tick_s: float, up_dwell_s: float, down_dwell_s: float) -> ModeConfig:
    """The mode of an API process over zones that are priced every `tick_s`."""
    return ModeConfig(
        inputs=(
            InputSpec(name="redis"),
            InputSpec(name="database"),
            InputSpec(name="kafka"),
            InputSpec(name="spool_percent", scale=SPOOL_PERCENT),
            InputSpec(name="spool_age_s", scale=SPOOL_AGE_S),
            InputSpec(name="read_p95_ms", scale=READ_P95_MS, smoothed=True),
            InputSpec(name="read_p99_ms", scale=READ_P99_MS, smoothed=True),
            InputSpec(name="loop_lag_ms", scale=LOOP_LAG_MS, smoothed=True),
            InputSpec(name="stale_percent", scale=STALE_PERCENT),
            InputSpec(name="default_percent", scale=DEFAULT_PERCENT),
            InputSpec(name="zone_age_s", scale=zone_age_scale(tick_s)),
            InputSpec(name="budget_burn", scale=BUDGET_BURN),
        ),
        up_dwell_s=up_dwell_s,
        down_dwell_s=down_dwell_s,
        hold_s=5 * down_dwell_s,
    )
