"""Zones: the catalogue that names and prices them, and the way from a place to its zone.

Imports the words of the domain only.
"""

from __future__ import annotations

from pricing.zones.catalogue import Catalogue, load_catalogue
from pricing.zones.locate import ZoneLocator

__all__ = ["Catalogue", "ZoneLocator", "load_catalogue"]
