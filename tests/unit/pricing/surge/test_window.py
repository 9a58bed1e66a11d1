"""The specification's worked examples, and the edges around them."""

import pickle

import pytest

from pricing.model import Signal
from pricing.surge.events import DemandEvent, Disposition, SupplyEvent
from pricing.surge.policy.windows import WindowConfig
from pricing.surge.window import CityWindow

T = 600_000


@pytest.fixture
def window():
    return CityWindow(WindowConfig())


def request(window, occurred_ms, arrived_ms, *, request_id="r", event_id="e", zone_id="A"):
    return window.add(
        DemandEvent(
            request_id=request_id,
            event_id=event_id,
            zone_id=zone_id,
            occurred_ms=occurred_ms,
            arrived_ms=arrived_ms,
        )
    )


def beat(
    window,
    occurred_ms,
    arrived_ms=None,
    *,
    driver_id="d",
    event_id="e",
    zone_id="A",
    available=True,
):
    return window.add(
        SupplyEvent(
            driver_id=driver_id,
            event_id=event_id,
            zone_id=zone_id,
            available=available,
            occurred_ms=occurred_ms,
            arrived_ms=occurred_ms if arrived_ms is None else arrived_ms,
        )
    )


@pytest.mark.parametrize(
    ("occurred_ms", "arrived_ms", "at_600", "at_605"),
    [
        pytest.param(300_001, 300_120, 1, 0, id="just young enough"),
        pytest.param(300_000, 300_100, 0, 0, id="age exactly the window"),
        pytest.param(599_900, 600_200, 1, 1, id="inside the grace"),
        pytest.param(599_900, 600_260, 0, 1, id="after the grace"),
        pytest.param(600_001, 600_100, 0, 1, id="happened after the tick"),
        pytest.param(700_000, 500_000, 1, 1, id="date in the future"),
        pytest.param(200_000, 599_000, 0, 0, id="replay after an outage"),
    ],
)
def test_request_counts_at_the_specified_ticks(window, occurred_ms, arrived_ms, at_600, at_605):
    request(window, occurred_ms, arrived_ms)
    assert window.count(T).demand.get("A", 0) == at_600
    assert window.count(T + 5_000).demand.get("A", 0) == at_605


def test_request_that_arrives_twice_counts_once(window):
    assert request(window, 450_000, 450_000) is Disposition.COUNTED
    assert request(window, 450_000, 520_000) is Disposition.DUPLICATE
    assert window.count(T).demand == {"A": 1}


def test_request_in_two_zones_counts_in_earlier(window):
    request(window, 460_000, 460_000, event_id="a", zone_id="B")
    request(window, 450_000, 470_000, event_id="b", zone_id="A")
    assert window.count(465_000).demand == {"B": 1}
    assert window.count(470_000).demand == {"A": 1}
    assert window.count(745_000).demand == {"A": 1}
    assert window.count(750_000).demand == {"B": 1}
    assert window.count(760_000).demand == {}


def test_copies_of_one_instant_go_by_event_id(window):
    request(window, 450_000, 450_000, event_id="b", zone_id="B")
    request(window, 450_000, 450_000, event_id="a", zone_id="A")
    assert window.count(T).demand == {"A": 1}


def test_late_copy_takes_over_from_its_first_tick(window):
    request(window, 450_000, 450_000, event_id="b", zone_id="B")
    window.count(T)
    assert request(window, 440_000, 602_000, event_id="a", zone_id="A") is Disposition.COUNTED
    assert window.count(T + 5_000).demand == {"A": 1}


def test_request_kept_by_later_copy_counts_once(window):
    request(window, 450_000, 450_000, event_id="a")
    request(window, 460_000, 460_000, event_id="b")
    assert window.count(750_000).demand == {"A": 1}
    request(window, 470_000, 750_000, event_id="c")
    assert window.count(755_000).demand == {"A": 1}
    assert window.count(765_000).demand == {"A": 1}
    assert window.count(770_000).demand == {}


def test_request_outside_every_window_to_come_is_late(window):
    assert request(window, 200_000, 599_000) is Disposition.LATE
    window.count(T)
    assert request(window, 304_999, 304_999) is Disposition.LATE
    assert request(window, 305_001, 305_001) == Disposition.COUNTED | Disposition.OVERDUE


def test_overdue_request_counts_from_the_next_tick(window):
    window.count(T)
    assert request(window, 599_000, 599_100) == Disposition.COUNTED | Disposition.OVERDUE
    assert window.count(T + 5_000).demand == {"A": 1}


def test_future_date_is_told_and_corrected(window):
    assert request(window, 700_000, 500_000) == Disposition.COUNTED | Disposition.FUTURE
    assert beat(window, 700_000, 500_000) == Disposition.COUNTED | Disposition.FUTURE


def test_disposition_flags_have_names_for_metrics():
    flags = Disposition.COUNTED | Disposition.OVERDUE | Disposition.FUTURE
    assert [flag.name for flag in flags] == ["COUNTED", "OVERDUE", "FUTURE"]


def test_newest_heartbeat_of_each_driver_decides(window):
    beat(window, 545_000, driver_id="d1", event_id="1", zone_id="A")
    beat(window, 590_000, driver_id="d1", event_id="2", zone_id="B")
    beat(window, 585_000, 599_900, driver_id="d1", event_id="3", zone_id="A")
    beat(window, 540_000, driver_id="d2", zone_id="A")
    beat(window, 539_999, driver_id="d3", zone_id="A")
    beat(window, 580_000, driver_id="d4", event_id="1", zone_id="A")
    beat(window, 595_000, driver_id="d4", event_id="2", zone_id="A", available=False)
    counts = window.count(T)
    assert counts.supply == {"A": 1, "B": 1}
    assert counts.signal is Signal.LIVE


def test_silent_city_keeps_its_supply_three_minutes(window):
    for number in range(40):
        beat(window, T, driver_id=f"d{number}")
    seen = [(window.count(T + s * 1000)) for s in range(0, 190, 5)]
    assert [counts.supply.get("A", 0) for counts in seen] == [40] * 37 + [0]
    signals = [counts.signal for counts in seen]
    assert signals == [Signal.LIVE] * 5 + [Signal.HELD] * 32 + [Signal.SILENT]


def test_city_without_heartbeats_is_silent(window):
    assert window.count(T).signal is Signal.SILENT


def test_silent_city_with_old_heartbeat_holds_again(window):
    beat(window, 400_000, driver_id="d1")
    assert window.count(T).signal is Signal.SILENT
    beat(window, 430_000, 604_000, driver_id="d2")
    counts = window.count(605_000)
    assert counts.signal is Signal.HELD
    assert counts.supply == {"A": 2}


def test_old_heartbeat_may_count_once_city_is_held(window):
    """Beyond 180 s it cannot be the clock, but up to 220 s it can still be supply."""
    assert beat(window, T - 195_000, T, driver_id="d1") is Disposition.COUNTED
    assert window.count(T).signal is Signal.SILENT
    beat(window, T - 165_000, T + 4_000, driver_id="d2")
    assert window.count(T + 5_000).supply == {"A": 2}


@pytest.mark.parametrize(
    ("age_ms", "expected"), [(60_000, Disposition.COUNTED), (60_001, Disposition.LATE)]
)
def test_heartbeat_too_old_to_count_is_late(window, age_ms, expected):
    beat(window, T, driver_id="other")
    window.count(T)
    assert beat(window, T + 5_000 - age_ms, T + 3_000) is expected


def test_heartbeat_of_a_counted_tick_is_overdue(window):
    window.count(T)
    assert beat(window, T) == Disposition.COUNTED | Disposition.OVERDUE
    assert window.count(T + 5_000).supply == {"A": 1}


def test_heartbeat_that_repeats_is_a_duplicate(window):
    beat(window, T)
    assert beat(window, T) is Disposition.DUPLICATE
    window.count(T)
    assert beat(window, T) is Disposition.DUPLICATE
    assert beat(window, T, zone_id="B") == Disposition.DUPLICATE | Disposition.OVERDUE


def test_ticks_must_rise_and_be_ticks(window):
    with pytest.raises(ValueError, match="600001 is no multiple of the tick, 5000 ms"):
        window.count(600_001)
    window.count(T)
    with pytest.raises(ValueError, match="tick 600000 is asked for after 600000"):
        window.count(T)


def test_window_forgets_what_can_no_longer_matter(window):
    empty = len(pickle.dumps(window))
    for number in range(200):
        at_ms = T + number * 100
        request(window, at_ms, at_ms, request_id=f"r{number % 150}", event_id=f"e{number}")
        beat(window, at_ms, driver_id=f"d{number}")
    assert len(pickle.dumps(window)) > 20 * empty
    window.count(T + 20_000 + 300_000)
    assert len(pickle.dumps(window)) < 2 * empty


def test_request_sent_for_ever_is_remembered_one_window(window):
    sizes = []
    for number in range(3_000):
        at_ms = T + number * 1_000
        request(window, at_ms, at_ms, event_id=f"e{number:04}", zone_id=f"z{number % 3}")
        if at_ms % 5_000 == 0:
            assert sum(window.count(at_ms).demand.values()) == 1
            sizes.append(len(pickle.dumps(window)))
    assert max(sizes[100:]) < 1.1 * sizes[100]


def test_memory_reaches_to_oldest_heartbeat_that_counts():
    config = WindowConfig(demand_window_ms=1_000)
    for older_ms, drivers in [(0, {"A": 1}), (1, {})]:
        window = CityWindow(config)
        beat(window, T - config.memory_ms + 1 - older_ms, driver_id="d1")
        beat(window, T - 180_000, driver_id="d2", available=False)
        assert window.count(T).supply == drivers
    assert config.memory_ms == 220_001


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tick_ms", 0),
        ("grace_ms", -1),
        ("demand_window_ms", 1.5),
        ("supply_window_ms", True),
        ("supply_hold_after_ms", 180_000),
    ],
)
def test_window_config_refuses_a_value_and_names_it(field, value):
    with pytest.raises(ValueError, match=f"{field}.*{value}"):
        WindowConfig(**{field: value})
