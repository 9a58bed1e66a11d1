"""The zones that the service knows, frozen when made, and where they are loaded from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from pricing.errors import CatalogueError
from pricing.model import Zone
from pricing.zones.zone_file import parse_zones

SHIPPED_FILE = "nyc.csv"
"""In this package: New York City, so that the service has zones and fares with nothing set."""

_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every zone of every city, in an order that is the same in each process.

    Equal when the zones are. Give the zones in any order.

    Raises:
        CatalogueError: two zones share an id.
    """

    zones: tuple[Zone, ...]
    """In natural order of their ids."""
    _by_id: dict[str, Zone] = field(init=False, repr=False, compare=False)
    _by_city: dict[str, tuple[Zone, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        zones = tuple(sorted(self.zones, key=lambda zone: natural_key(zone.zone_id)))
        by_id: dict[str, Zone] = {}
        by_city: dict[str, list[Zone]] = {}
        for zone in zones:
            if by_id.setdefault(zone.zone_id, zone) is not zone:
                raise CatalogueError("catalogue", 0, f"duplicate zone_id {zone.zone_id!r}")
            by_city.setdefault(zone.city_id, []).append(zone)
        object.__setattr__(self, "zones", zones)
        object.__setattr__(self, "_by_id", by_id)
        ordered = {city: tuple(by_city[city]) for city in sorted(by_city, key=natural_key)}
        object.__setattr__(self, "_by_city", ordered)

    def zone(self, zone_id: str) -> Zone | None:
        """The zone of that id, or None."""
        return self._by_id.get(zone_id)

    def zones_of(self, city_id: str) -> tuple[Zone, ...]:
        """A city's zones in natural order; none for an unknown city."""
        return self._by_city.get(city_id, ())

    @property
    def city_ids(self) -> tuple[str, ...]:
        """Every city, in natural order."""
        return tuple(self._by_city)


def natural_key(identifier: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key under which digits count as numbers: 2, 10, a-2, a-10.

    A total order: ids that differ only in leading zeros fall back to their text.
    """
    parts = _DIGITS.split(identifier)
    return (
        tuple(
            (0, int(part), "") if index % 2 else (1, 0, part)
            for index, part in enumerate(parts)
            if part
        ),
        identifier,
    )


def load_catalogue(path: Path | None) -> Catalogue:
    """Load the zones file at `path`, or the shipped one for None.

    Raises:
        CatalogueError: the file cannot be read, or something in it is wrong.
    """
    if path is None:
        shipped = files("pricing.zones").joinpath(SHIPPED_FILE)
        return Catalogue(parse_zones(shipped.read_bytes(), f"the shipped {SHIPPED_FILE}"))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CatalogueError(str(path), 0, f"cannot be read: {error.strerror}") from error
    return Catalogue(parse_zones(data, str(path)))
