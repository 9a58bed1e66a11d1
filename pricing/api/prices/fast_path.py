"""The price of a zone past the router: `GET /api/v1/zones/{zone_id}/price`.

The one route that most requests take: a router and its middleware cost more than the answer
itself. Reader and renderer are those of `pricing.api.prices.endpoint`, so that both say the same.
What is not an ordinary read of a known zone (an unknown id, another method, a page of another
origin, a caller who may not) goes on to the framework, which tells the client why.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from pricing.access.auth import may
from pricing.access.role import Role
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.prices.reader import PriceReader
from pricing.model import Zone

PATH = "/api/v1/zones/{zone_id}/price"
_HEAD, _TAIL = PATH.split("{zone_id}")


class PriceFastPath:
    """Tells which requests it takes, and how `reader` answers them."""

    def __init__(self, parts: ApiDependencies, reader: PriceReader) -> None:
        self._zone = parts.catalogue.zone
        self._gate = parts.gate
        self._drain = parts.drain
        self.reader = reader
        self._shares_pages = bool(parts.config.cors_origins)

    def match(self, scope: Scope, given: Mapping[bytes, bytes]) -> Zone | None:
        """The zone whose price is asked for, by who may have it; None: this is no such request.

        `given` are the request's headers by name.
        """
        path: str = scope["path"]
        if not (path.startswith(_HEAD) and path.endswith(_TAIL)):
            return None
        if scope["method"] not in ("GET", "HEAD") or scope.get("root_path"):
            return None
        if self._shares_pages and b"origin" in given:
            return None
        # Asked before the zone is looked up: who may not learns nothing of what there is.
        if self._drain.is_draining or not may(self._gate, scope["headers"], Role.CLIENT):
            return None
        return self._zone(path[len(_HEAD) : -len(_TAIL)])
