"""The price of a zone, answered before any router: `GET /api/v1/zones/{zone_id}/price`.

The one route that most requests take. It is plain ASGI, for a router and a response object
cost more than the answer itself; what it says is what `pricing.api.prices` documents, and the
tests hold both to each other. Whatever is not an ordinary read of a known zone (an unknown id,
another method, a page of another origin) goes on to the application.
"""

from __future__ import annotations

from starlette.types import Scope

from pricing.answers import Answer, caching_headers
from pricing.api.parts import ApiParts
from pricing.api.price_texts import PriceTexts, text
from pricing.api.system_headers import Headers
from pricing.mode.policy import ModePolicy
from pricing.model import Zone

PATH = "/api/v1/zones/{zone_id}/price"
_HEAD, _TAIL = PATH.split("{zone_id}")
_JSON = (b"content-type", b"application/json")

Answered = tuple[int, Headers, bytes]
"""Status, headers but for the system's, body."""


class PriceRoute:
    """Finds the zone of a request, and answers its price."""

    def __init__(self, parts: ApiParts) -> None:
        self._metrics = parts.metrics
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

    async def answer(self, zone: Zone, policy: ModePolicy, if_none_match: bytes) -> Answered:
        """The price of a zone, for a client that holds these tags."""
        known = self._texts.remembered(zone, policy) or await self._texts.read(zone, policy)
        if isinstance(known, Answer):
            return self._in_full(known, policy, if_none_match)
        rendered, live, age_ms, via = known
        self._metrics.remembered(live, age_ms)
        headers = rendered.headers(age_ms, via)
        if if_none_match and is_known(if_none_match.decode("latin-1"), rendered.etag):
            return 304, headers[1:], b""
        content = rendered.body(age_ms)
        headers.append((b"content-length", b"%d" % len(content)))
        return 200, headers, content

    def _in_full(self, answer: Answer, policy: ModePolicy, if_none_match: bytes) -> Answered:
        """An answer that no text is kept of: a default fare, a stale or an old price."""
        self._metrics.answered((answer,))
        named = caching_headers(answer, policy.mode, self._ladder.tick_ms)
        headers = [(name.lower().encode(), value.encode()) for name, value in named.items()]
        if if_none_match and is_known(if_none_match.decode("latin-1"), named.get("ETag")):
            return 304, headers, b""
        content = text(answer, policy.mode)
        return 200, [*headers, _JSON, (b"content-length", b"%d" % len(content))], content


def is_known(if_none_match: str, tag: str | None) -> bool:
    """Whether the client has this state; weak comparison (RFC 9110), our tags hold no comma."""
    if not if_none_match or tag is None:
        return False
    opaque = tag.removeprefix("W/")
    return any(
        candidate in ("*", opaque)
        for candidate in (part.strip().removeprefix("W/") for part in if_none_match.split(","))
    )
