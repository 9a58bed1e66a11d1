from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pricing.model import Zone
from pricing.zones.zone_file import parse_zones, serialise_zones


def _zones() -> st.SearchStrategy[Zone]:
    identifiers = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
    lattice = st.integers(10, 200)
    return st.builds(
        lambda bounds, **fields: Zone(
            min_multiplier_micro=min(bounds) * 50_000,
            max_multiplier_micro=max(bounds) * 50_000,
            **fields,
        ),
        st.tuples(lattice, lattice),
        zone_id=identifiers,
        name=st.text(
            st.characters(codec="utf-8", exclude_categories=["C", "Z"], include_characters=" "),
            min_size=1,
            max_size=200,
        ).filter(str.strip),
        city_id=identifiers,
        zone_class=identifiers,
        base_fare_minor=st.integers(1, 1_000_000_000),
        currency=st.sampled_from(["USD", "JPY", "KWD"]),
        lat=st.floats(-90, 90),
        lon=st.floats(-180, 180),
        area_km2=st.floats(0, 10_000, exclude_min=True),
    )


@given(st.lists(_zones(), min_size=1, max_size=5, unique_by=lambda zone: zone.city_id))
def test_serialised_zones_read_back_equal(zones: list[Zone]):
    unique = {zone.zone_id: zone for zone in zones}
    assert parse_zones(serialise_zones(unique.values()).encode(), "z") == tuple(unique.values())
