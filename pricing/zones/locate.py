"""From a place to its zone. A zone is the set of H3 cells that it wins from its neighbours.

A zones file has no outlines, only a centroid and an area, so a zone is taken for a disc of
that area, of radius R. Each cell of resolution 9 (0.1 km², a city block) belongs to the zone
with the least d² - R², where d is the great-circle distance from the cell's centre to the
zone's centroid, among the zones with d at most 1.6 R. So two discs that overlap are parted
along the line through their intersections, and the open sea belongs to no zone. Resolution 8
would be too coarse: at it, 18 of New York's zones get no cell.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import h3.api.basic_int as h3  # type: ignore[import-untyped] # h3 4.5 ships no types

from pricing.model import Zone
from pricing.zones.catalogue import Catalogue, natural_key

RESOLUTION: Final = 9
PARENT_RESOLUTION: Final = RESOLUTION - 1
REACH: Final = 1.6
"""Real zones are not round: one may win cells up to this many times R from its centroid."""

_EARTH_RADIUS_KM: Final = 6371.0088
# No corner of a cell is further from its centre: 0.222 km was the most in 20,000 random cells.
_CORNER_KM: Final = 0.3

_Vector = tuple[float, float, float]


class ZoneLocator:
    """Answers which zone a place is in. The whole table is made at once, then never changes.

    Making it costs time and memory in proportion to the sum of the zones' areas: New York's
    794 km² are 8,000 cells. Distances are taken between points on a sphere in space, so the
    poles and the antimeridian are places like any other.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._owner = _owners(catalogue)
        self._parent_owner = _parent_owners(self._owner, catalogue)
        cells: dict[str, list[int]] = defaultdict(list)
        for cell, zone in self._owner.items():
            cells[zone.zone_id].append(cell)
        self._cells = {zone_id: tuple(sorted(owned)) for zone_id, owned in cells.items()}

    def locate(self, lat: float, lon: float) -> Zone | None:
        """The zone of a place in degrees (WGS 84); None outside all zones, or for no place at all.

        A place whose cell belongs to no zone goes to the zone that owns most of the seven cells
        around it that share a parent; of equal ones, to the first in natural order.
        """
        if not (-90 <= lat <= 90 and -180 <= lon <= 180):
            return None
        cell: int = h3.latlng_to_cell(lat, lon, RESOLUTION)
        zone = self._owner.get(cell)
        if zone is not None:
            return zone
        return self._parent_owner.get(h3.cell_to_parent(cell, PARENT_RESOLUTION))

    def owner(self, cell: int) -> Zone | None:
        """The zone that owns a cell of resolution 9, without the fallback; None if no zone does."""
        return self._owner.get(cell)

    def cells(self, zone_id: str) -> tuple[int, ...]:
        """The cells of a zone in ascending order.

        None for an unknown zone, or for one so small that it wins no cell's centre.
        """
        return self._cells.get(zone_id, ())

    def bordering(self, zone_id: str) -> tuple[Zone, ...]:
        """The zones, of any city, that own a cell next to one of this zone's; natural order.

        For the neighbour blend of the surge policy, which is not built yet: nothing else calls it.
        """
        owners = {
            owner.zone_id: owner
            for cell in self.cells(zone_id)
            for near in h3.grid_disk(cell, 1)
            if (owner := self._owner.get(near)) is not None
        }
        owners.pop(zone_id, None)
        return tuple(owners[near_id] for near_id in sorted(owners, key=natural_key))


def _owners(catalogue: Catalogue) -> dict[int, Zone]:
    """Give each cell to its zone; of equally near ones, to the first in natural order."""
    best: dict[int, tuple[float, Zone]] = {}
    centres: dict[int, _Vector] = {}
    for zone in catalogue.zones:
        for cell, power in _claims(zone, centres):
            held = best.get(cell)
            if held is None or power < held[0]:
                best[cell] = (power, zone)
    return {cell: zone for cell, (_, zone) in best.items()}


def _claims(zone: Zone, centres: dict[int, _Vector]) -> Iterator[tuple[int, float]]:
    """Yield each cell within a zone's reach with its d² - R² in km².

    Goes outward ring by ring. The way from the centroid to a cell within reach crosses every
    ring before that cell's, each in a cell whose centre is at most a corner's length further
    away than the reach: a ring without such a cell is the end.
    """
    centroid = _vector(zone.lat, zone.lon)
    middle: int = h3.latlng_to_cell(zone.lat, zone.lon, RESOLUTION)
    radius_squared = zone.area_km2 / math.pi
    reach = REACH * math.sqrt(radius_squared)
    ring, nearest = 0, 0.0
    while nearest <= reach + _CORNER_KM:
        nearest = math.inf
        for cell in h3.grid_ring(middle, ring):
            centre = centres.get(cell)
            if centre is None:
                centre = centres[cell] = _vector(*h3.cell_to_latlng(cell))
            distance = _distance_km(centroid, centre)
            nearest = min(nearest, distance)
            if distance <= reach:
                yield cell, distance * distance - radius_squared
        ring += 1


def _parent_owners(owner: Mapping[int, Zone], catalogue: Catalogue) -> dict[int, Zone]:
    children: dict[int, Counter[str]] = defaultdict(Counter)
    for cell, zone in owner.items():
        children[h3.cell_to_parent(cell, PARENT_RESOLUTION)][zone.zone_id] += 1
    rank = {zone.zone_id: index for index, zone in enumerate(catalogue.zones)}
    zones = catalogue.zones
    return {
        parent: zones[min((-count, rank[zone_id]) for zone_id, count in owned.items())[1]]
        for parent, owned in children.items()
    }


def _vector(lat: float, lon: float) -> _Vector:
    """Turn degrees into a point on the unit sphere."""
    phi, theta = math.radians(lat), math.radians(lon)
    equatorial = math.cos(phi)
    return equatorial * math.cos(theta), equatorial * math.sin(theta), math.sin(phi)


def _distance_km(a: _Vector, b: _Vector) -> float:
    """Great-circle distance. By the chord, which keeps its digits for points close together."""
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.dist(a, b) / 2))
