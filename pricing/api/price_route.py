"""The price of a zone, answered before any router: `GET /api/v1/zones/{zone_id}/price`.

The one route that most requests take. It is plain ASGI, for a router and a response object
cost more than the answer itself; what it says is what `pricing.api.prices` documents, and the
tests hold both to each other. Whatever is not an ordinary read of a known zone (an unknown id,
another method, a page of another origin) goes on to the application.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import Scope, Send

from pricing.answers import caching_headers, memo_headers
from pricing.api.parts import ApiParts
from pricing.api.price_texts import PriceTexts, text
from pricing.api.system_headers import Headers
from pricing.model import Zone

PATH = "/api/v1/zones/{zone_id}/price"
_HEAD, _TAIL = PATH.split("{zone_id}")
_JSON = (b"content-type", b"application/json")


class PriceRoute:
    """Finds the zone of a request, and answers its price."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts
        self._texts = PriceTexts(parts)
        self._zone = parts.catalogue.zone
        self._ladder = parts.ladder

    def match(self, scope: Scope) -> Zone | None:
        """The zone whose price is asked for; None: this is no such request."""
        path: str = scope["path"]
        if not (path.startswith(_HEAD) and path.endswith(_TAIL)):
            return None
        if scope["method"] not in ("GET", "HEAD") or scope.get("root_path"):
            return None
        return self._zone(path[len(_HEAD) : -len(_TAIL)])

    async def answer(
        self,
        zone: Zone,
        mode: str,
        *,
        if_none_match: bytes,
        system: Callable[[], Headers],
        send: Send,
    ) -> None:
        """Send the price. `system` is asked once the price is known, for the read may change it."""
        known = self._texts.remembered(zone, mode)
        if known is not None:
            rendered, live, age_ms = known
            self._parts.metrics.remembered(((live, age_ms),))
            headers = memo_headers(rendered.etag, age_ms, self._ladder.tick_ms)
            tag: str | None = rendered.etag
            content = rendered.body(age_ms)
        else:
            answer = await self._ladder.price(zone)
            self._parts.metrics.answered((answer,))
            named = caching_headers(answer, mode, self._ladder.tick_ms)
            tag = named.get("ETag")
            headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
            content = text(answer, mode)
        if if_none_match and is_known(if_none_match.decode("latin-1"), tag):
            await _send(send, 304, [*headers, *system()], b"")
            return
        headers += (_JSON, (b"content-length", b"%d" % len(content)), *system())
        await _send(send, 200, headers, content)


async def _send(send: Send, status: int, headers: Headers, content: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


def is_known(if_none_match: str, tag: str | None) -> bool:
    """Whether the client has this state; weak comparison (RFC 9110), our tags hold no comma."""
    if not if_none_match or tag is None:
        return False
    opaque = tag.removeprefix("W/")
    return any(
        candidate in ("*", opaque)
        for candidate in (part.strip().removeprefix("W/") for part in if_none_match.split(","))
    )
