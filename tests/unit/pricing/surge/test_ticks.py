import pytest

from pricing.surge import ticks

TICK = {"tick_ms": 5_000, "grace_ms": 250}


def test_event_time_of_fast_clock_is_arrival():
    assert ticks.event_time(700_000, 500_000) == 500_000


def test_event_time_of_late_arrival_is_occurrence():
    assert ticks.event_time(500_000, 700_000) == 500_000


@pytest.mark.parametrize(("ahead_ms", "expected"), [(5_000, False), (5_001, True), (-1, False)])
def test_is_future_needs_more_than_the_tolerance(ahead_ms, expected):
    assert ticks.is_future(100_000 + ahead_ms, 100_000) is expected


@pytest.mark.parametrize(
    ("event_ms", "arrived_ms", "expected"),
    [
        (600_000, 600_000, 600_000),
        (600_000, 600_250, 600_000),
        (600_000, 600_251, 605_000),
        (599_900, 600_260, 605_000),
        (600_001, 600_001, 605_000),
        (600_001, 600_100, 605_000),
        (200_000, 599_000, 600_000),
    ],
)
def test_first_tick_is_first_to_see_event(event_ms, arrived_ms, expected):
    assert ticks.first_tick(event_ms, arrived_ms, **TICK) == expected


@pytest.mark.parametrize(
    ("event_ms", "expected"), [(300_000, 595_000), (300_001, 600_000), (304_999, 600_000)]
)
def test_last_tick_is_last_to_hold_event(event_ms, expected):
    assert ticks.last_tick(event_ms, window_ms=300_000, tick_ms=5_000) == expected


@pytest.mark.parametrize(
    ("now_ms", "expected"), [(600_299, 595_000), (600_300, 600_000), (605_299, 600_000)]
)
def test_newest_closed_tick_waits_for_grace_and_margin(now_ms, expected):
    assert ticks.newest_closed_tick(now_ms, **TICK) == expected


@pytest.mark.parametrize("tick_ms", [1_000, 5_000, 7_000, 60_000, 90_000])
def test_full_snapshot_is_due_once_a_minute(tick_ms):
    rounds = max(1, 60_000 // tick_ms)
    for zone_id in ("1", "132", "z"):
        due = [
            ticks.is_full_snapshot_due(zone_id, n * tick_ms, tick_ms=tick_ms) for n in range(rounds)
        ]
        assert due.count(True) == 1


def test_full_snapshot_follows_the_zone_checksum():
    # crc32(b"161") is 36,358,138, and that modulo 12 is 10.
    due = [
        t for t in range(0, 60_000, 5_000) if ticks.is_full_snapshot_due("161", t, tick_ms=5_000)
    ]
    assert due == [50_000]
