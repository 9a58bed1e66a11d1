from __future__ import annotations

import pytest

from fallback.pump import PumpConfig, PumpState
from fallback.pump.pace import Pace
from fallback.pump.status import next_state
from fallback.spool import SpoolState


def sent_by(pace: Pace, batch: int, from_s: float, until_s: float) -> int:
    """What a lane sends that takes each moment it is given."""
    now_s, sent = from_s, 0
    while now_s < until_s:
        now_s += pace.reserve(batch, now_s)
        sent += batch
    return sent


def test_pace_holds_over_time_whatever_the_batches():
    for batch in (1, 37, 500):
        pace = Pace(20_000, slow_start_s=30)
        assert sent_by(pace, batch, 100.0, 110.0) == pytest.approx(200_000, rel=0.01)


def test_pause_is_not_made_up_for():
    pace = Pace(20_000, slow_start_s=30)
    pace.reserve(500, 0)
    assert pace.reserve(500, 1_000) == 0
    assert pace.reserve(500, 1_000) == 0
    assert pace.reserve(500, 1_000) == pytest.approx(0.025)


def test_slow_start_goes_from_a_tenth_to_the_whole_pace():
    pace = Pace(20_000, slow_start_s=30)
    pace.slow_down(0, outage_s=3_600, jitter=0.5)
    assert [round(pace.rate(at)) for at in (0, 15, 30, 31)] == [2_000, 11_000, 20_000, 20_000]


@pytest.mark.parametrize(("outage_s", "ramp_s"), [(1, 0.1), (60, 6), (300, 30), (9_999, 30)])
def test_slow_start_is_as_long_as_a_tenth_of_the_outage(outage_s, ramp_s):
    pace = Pace(20_000, slow_start_s=30)
    pace.slow_down(0, outage_s=outage_s, jitter=0.5)
    assert pace.rate(ramp_s * 0.99) < 20_000
    assert pace.rate(ramp_s * 1.01) == 20_000


def test_jitter_spreads_the_slow_starts():
    ends = []
    for jitter in (0.0, 1.0):
        pace = Pace(20_000, slow_start_s=30)
        pace.slow_down(0, outage_s=1_000, jitter=jitter)
        ends.append(next(at for at in range(60) if pace.rate(at) == 20_000))
    assert ends == [23, 38]


@pytest.mark.parametrize(
    ("spool", "is_stuck", "lag_ms", "wanted"),
    [
        (SpoolState.HEALTHY, False, None, PumpState.HEALTHY),
        (SpoolState.HEALTHY, False, 900, PumpState.HEALTHY),
        (SpoolState.HEALTHY, False, 1_100, PumpState.RECOVERING),
        (SpoolState.SHEDDING, True, 50, PumpState.SPOOLING),
        (SpoolState.FULL, True, 50, PumpState.FULL),
        (SpoolState.FAILED, True, 50, PumpState.FAILED),
    ],
)
def test_state_follows_from_the_facts(spool, is_stuck, lag_ms, wanted):
    assert next_state(spool, is_stuck=is_stuck, lag_ms=lag_ms, behind_ms=1_000) is wanted


@pytest.mark.parametrize("field", ["records_per_s", "batch_records", "stall_s", "probe_records"])
def test_config_names_the_bad_value(field):
    with pytest.raises(ValueError, match=f"{field}=0"):
        PumpConfig(**{field: 0})
