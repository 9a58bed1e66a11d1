"""A small square city of equal zones."""

from __future__ import annotations

from pricing.model import MICRO, Zone

KM_IN_DEGREES = 1 / 111.2


def grid_zones(side: int = 4, *, city_id: str = "grid", zone_km: float = 1.5) -> list[Zone]:
    """`side` x `side` zones on the equator, where a degree is as long both ways."""
    step = zone_km * KM_IN_DEGREES
    return [
        Zone(
            zone_id=f"z{row}-{column}",
            name=f"Row {row}, column {column}",
            city_id=city_id,
            zone_class="core",
            base_fare_minor=1_000,
            currency="USD",
            lat=row * step,
            lon=column * step,
            area_km2=zone_km**2,
            min_multiplier_micro=MICRO,
            max_multiplier_micro=3 * MICRO,
        )
        for row in range(side)
        for column in range(side)
    ]
