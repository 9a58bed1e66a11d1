"""The price of a zone, answered before any router: `GET /api/v1/zones/{zone_id}/price`.

The one route that most requests take. It is plain ASGI, for a router and a response object cost
more than the answer itself; what it says is what `pricing.api.prices.endpoint` documents, and the
tests hold both to each other. Whatever is not an ordinary read of a known zone (an unknown id,
another method, a page of another origin) goes on to the application.
"""

from __future__ import annotations

import re

from starlette.types import Scope, Send

from pricing.access.auth import may
from pricing.access.role import Role
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.raw_response import lines_of, raw_writable, write_whole
from pricing.api.http.system_headers import SystemHeaders
from pricing.api.prices.rendering import PriceTexts, text
from pricing.mode.policy import ModePolicy
from pricing.model import Zone
from pricing.reading.answer import Answer, caching_headers
from streaming.events.event_types import new_event_id

PATH = "/api/v1/zones/{zone_id}/price"
_HEAD, _TAIL = PATH.split("{zone_id}")
_CONDITIONS = frozenset([b"if-none-match", b"origin"])
"""Headers by which an answer may become another one."""
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

Answered = tuple[int, bytes, bytes]
"""Status, header lines but for the system's, body."""


class PriceRoute:
    """Finds the zone of a request, and answers its price."""

    def __init__(self, parts: ApiDependencies, system: SystemHeaders) -> None:
        self._parts = parts
        self._system = system
        self._reads = parts.metrics.reads
        self._texts = PriceTexts(parts)
        self._zone = parts.catalogue.zone
        config = parts.config
        self._is_quiet = not (config.access_log and config.log_price_reads)

    def match(self, scope: Scope) -> Zone | None:
        """The zone whose price is asked for; None: this is no such request."""
        path: str = scope["path"]
        if not (path.startswith(_HEAD) and path.endswith(_TAIL)):
            return None
        if scope["method"] not in ("GET", "HEAD") or scope.get("root_path"):
            return None
        return self._zone(path[len(_HEAD) : -len(_TAIL)])

    def answer_at_once(self, zone: Zone, scope: Scope, send: Send) -> bool:
        """Answer the ordinary request for what the memo holds, whole and without waiting.

        False: nothing was done; `answer` tells the price, and the edge all that goes with it.
        """
        policy = self._parts.policy()
        known = self._texts.remembered(zone, policy)
        if known is None:
            return False
        cycle = raw_writable(send)
        given = dict(scope["headers"])
        is_ordinary = (
            self._is_quiet
            and given.keys().isdisjoint(_CONDITIONS)
            and not self._parts.drain.is_draining
            and may(self._parts.gate, scope["headers"], Role.CLIENT)
        )
        if not is_ordinary or cycle is None:
            return False
        rendered, live, age_ms, via = known
        content = rendered.body(age_ms)
        tail = b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (
            request_id(given.get(b"x-request-id")),
            len(content),
        )
        self._reads.remembered(live, age_ms)
        lines = rendered.lines(age_ms, via)
        write_whole(cycle, 200, lines, self._system.lines(policy.mode), tail, content)
        return True

    async def answer(self, zone: Zone, policy: ModePolicy, if_none_match: bytes) -> Answered:
        """The price of a zone, for a client that holds these tags."""
        known = self._texts.remembered(zone, policy) or await self._texts.read(zone, policy)
        if isinstance(known, Answer):
            return self._in_full(known, policy, if_none_match)
        rendered, live, age_ms, via = known
        self._reads.remembered(live, age_ms)
        lines = rendered.lines(age_ms, via)
        if if_none_match and is_known(if_none_match.decode("latin-1"), rendered.etag):
            return 304, lines, b""
        content = rendered.body(age_ms)
        return 200, b"%bcontent-length: %d\r\n" % (lines, len(content)), content

    def _in_full(self, answer: Answer, policy: ModePolicy, if_none_match: bytes) -> Answered:
        """An answer that no text is kept of: a default fare, a stale or an old price."""
        self._reads.answered((answer,))
        named = caching_headers(answer, policy.mode, self._parts.ladder.tick_ms)
        lines = lines_of((name.lower().encode(), value.encode()) for name, value in named.items())
        if if_none_match and is_known(if_none_match.decode("latin-1"), named.get("ETag")):
            return 304, lines, b""
        content = text(answer, policy.mode)
        lines += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(content)
        return 200, lines, content


def request_id(given: bytes | None) -> bytes:
    """The client's own id, if it can be told and logged without harm; else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return new_event_id().encode()


def is_known(if_none_match: str, tag: str | None) -> bool:
    """Whether the client has this state; weak comparison (RFC 9110), our tags hold no comma."""
    if not if_none_match or tag is None:
        return False
    opaque = tag.removeprefix("W/")
    return any(
        candidate in ("*", opaque)
        for candidate in (part.strip().removeprefix("W/") for part in if_none_match.split(","))
    )
