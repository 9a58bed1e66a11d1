"""Where zones lie and how long it takes to drive between them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from math import asin, cos, radians, sin, sqrt
from typing import Final

from pricing.model import Zone

_EARTH_KM: Final = 6_371.0
_DETOUR: Final = 1.30
"""Street over great circle."""
_WITHIN: Final = 0.90
"""Street length of a ride inside a zone, over the root of its area."""
_TRIP_MIN: Final = 5.0
_TRIP_MIN_PER_KM: Final = 2.14
_PICKUP_MIN: Final = 1.0
_MOST_NEIGHBOURS: Final = 6
_FARTHEST_NEIGHBOUR_KM: Final = 8.0


class Streets:
    """Distances and driving times between zones, named by their position in `zones`.

    Neighbours of a zone are the six nearest within 8 km, by centroid.
    """

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._places = [(radians(zone.lat), radians(zone.lon)) for zone in zones]
        self._within_km = [_WITHIN * sqrt(zone.area_km2) for zone in zones]
        self._neighbours: dict[int, tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self._places)

    def crow_km(self, here: int, there: int) -> float:
        """Great circle between two centroids."""
        lat, lon = self._places[here]
        other_lat, other_lon = self._places[there]
        half = sin((other_lat - lat) / 2) ** 2
        half += cos(lat) * cos(other_lat) * sin((other_lon - lon) / 2) ** 2
        return 2 * _EARTH_KM * asin(sqrt(min(1.0, half)))

    def street_km(self, here: int, there: int) -> float:
        """Length of the way between two zones, or of a ride inside one."""
        return self._within_km[here] if here == there else _DETOUR * self.crow_km(here, there)

    def trip_s(self, here: int, there: int) -> float:
        """Time with a rider on board."""
        return 60 * (_TRIP_MIN + _TRIP_MIN_PER_KM * self.street_km(here, there))

    def pickup_s(self, here: int, there: int, local: datetime) -> float:
        """Time from taking a request to the rider; half a crossing of the zone inside it."""
        km = self.street_km(here, there) * (0.5 if here == there else 1.0)
        return 60 * _PICKUP_MIN + 3600 * km / _speed_kmh(local)

    def neighbours(self, here: int) -> tuple[int, ...]:
        """The zones around a zone, nearest first."""
        found = self._neighbours.get(here)
        if found is None:
            others = (there for there in range(len(self)) if there != here)
            # To the metre: equal distances stay equal, whatever the machine's sine says.
            near = sorted((round(self.crow_km(here, there), 3), there) for there in others)
            found = tuple(
                there for km, there in near[:_MOST_NEIGHBOURS] if km <= _FARTHEST_NEIGHBOUR_KM
            )
            self._neighbours[here] = found
        return found


def _speed_kmh(local: datetime) -> float:
    if 7 <= local.hour < 19:
        return 14.0
    return 18.0 if 19 <= local.hour < 23 else 22.0
