from __future__ import annotations

from pricing.model import Source
from pricing.reading.answer import FallbackReason
from pricing.reading.last_known import LastKnownZones, LiveState
from tests.support.zone_states import STEP_MS, TICK_MS, calm, zone_state


def test_newest_version_wins_in_any_order():
    old, new = zone_state("a", TICK_MS), calm(zone_state("a", TICK_MS + STEP_MS))
    for order in ([old, new], [new, old]):
        zones = LastKnownZones(["a"])
        zones.keep(order)
        assert zones.get("a") == new


def test_first_of_equal_versions_stays():
    zones = LastKnownZones(["a"])
    zones.keep([zone_state("a"), calm(zone_state("a"))])
    assert zones.get("a") == zone_state("a")


def test_zone_outside_the_catalogue_is_passed_over():
    zones = LastKnownZones(["a"])
    zones.keep([zone_state("b")])
    assert (zones.get("b"), len(zones)) == (None, 0)


def test_length_counts_zones_with_a_state():
    zones = LastKnownZones(["a", "b", "c"])
    zones.keep([zone_state("a"), zone_state("b"), zone_state("a", TICK_MS + STEP_MS)])
    assert len(zones) == 2


def live(begun_s=1.0, source=Source.REDIS, reason=None):
    return LiveState(source, reason, begun_s)


def test_memo_holds_what_a_store_said_since_a_moment():
    zones = LastKnownZones(["a"])
    zones.keep([zone_state("a")], live(10.0))
    assert zones.recent("a", 10.0).state == zone_state("a")
    assert zones.recent("a", 10.1) is None
    assert zones.recent("b", 0.0) is None


def test_state_that_no_store_said_is_in_no_memo():
    zones = LastKnownZones(["a"])
    zones.keep([zone_state("a")])
    assert zones.recent("a", 0.0) is None


def test_same_version_said_again_is_confirmed_and_the_state_stays():
    zones = LastKnownZones(["a"])
    zones.keep([zone_state("a")], live(1.0))
    state = zones.get("a")
    zones.keep([calm(zone_state("a"))], live(2.0))
    assert zones.get("a") is state
    assert zones.recent("a", 2.0) is not None


def test_late_reading_confirms_nothing_that_is_older():
    zones = LastKnownZones(["a"])
    zones.keep([zone_state("a")], live(5.0))
    zones.keep([zone_state("a")], live(2.0, Source.DATABASE, FallbackReason.REDIS_MISS))
    assert zones.recent("a", 5.0).source is Source.REDIS


def test_memo_never_hides_a_newer_version_from_wherever():
    zones = LastKnownZones(["a"])
    newer = zone_state("a", TICK_MS + STEP_MS)
    zones.keep([zone_state("a")], live(1.0))
    zones.keep([newer])
    assert zones.recent("a", 1.0) is None
    zones.keep([zone_state("a")], live(2.0))
    assert zones.get("a") == newer
    assert zones.recent("a", 2.0) is None


def test_table_is_bounded_in_bytes_and_counts_what_it_refused():
    one = LastKnownZones(["a"])
    one.keep([zone_state("a")])
    zones = LastKnownZones(["a", "b", "c"], max_bytes=2 * one.bytes)
    zones.keep([zone_state("a"), zone_state("b"), zone_state("c")])
    assert (len(zones), zones.refused_total, zones.bytes) == (2, 1, 2 * one.bytes)
    longer = zone_state("a", TICK_MS + STEP_MS, reasons=("x" * 1_000,))
    zones.keep([longer])
    assert (zones.get("a"), zones.refused_total) == (zone_state("a"), 2)
    zones.keep([zone_state("a", TICK_MS + STEP_MS)])
    assert zones.bytes == 2 * one.bytes
