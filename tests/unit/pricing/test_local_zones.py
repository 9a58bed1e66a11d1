from __future__ import annotations

from pricing.local_zones import LocalZones
from tests.support.zone_states import STEP_MS, TICK_MS, calm, zone_state


def test_newest_version_wins_in_any_order():
    old, new = zone_state("a", TICK_MS), calm(zone_state("a", TICK_MS + STEP_MS))
    for order in ([old, new], [new, old]):
        zones = LocalZones(["a"])
        zones.keep(order)
        assert zones.get("a") == new


def test_first_of_equal_versions_stays():
    zones = LocalZones(["a"])
    zones.keep([zone_state("a"), calm(zone_state("a"))])
    assert zones.get("a") == zone_state("a")


def test_zone_outside_the_catalogue_is_passed_over():
    zones = LocalZones(["a"])
    zones.keep([zone_state("b")])
    assert (zones.get("b"), len(zones)) == (None, 0)


def test_length_counts_zones_with_a_state():
    zones = LocalZones(["a", "b", "c"])
    zones.keep([zone_state("a"), zone_state("b"), zone_state("a", TICK_MS + STEP_MS)])
    assert len(zones) == 2
