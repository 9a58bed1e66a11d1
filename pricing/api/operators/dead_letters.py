"""Dead letters for operators: look, put back, throw away."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fallback.pump.dead_letters import DeadLetterBox, Letter
from pricing.api.http.audit_trail import note_act
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.operator_schemas import LettersQuery
from pricing.api.http.problems import NOT_READY, UNKNOWN_LETTER, Problem
from pricing.api.http.request_parsing import parse_query
from pricing.api.http.routing import json_response
from streaming.events.event_types import rfc3339

_NO_STORE = {"Cache-Control": "no-store"}


class Letters:
    """The dead letters of this instance."""

    def __init__(self, parts: ApiDependencies) -> None:
        self._parts = parts

    async def listing(self, request: Request) -> Response:
        asked = parse_query(LettersQuery, request)
        letters = await asyncio.to_thread(self._box().letters)
        found = [_body(letter) for letter in letters[: asked.limit]]
        return json_response({"data": found, "next": None}, headers=_NO_STORE)

    async def retry(self, request: Request) -> Response:
        identity = _identity(request)
        if not await asyncio.to_thread(self._box().ask_retry, identity):
            raise _unknown()
        return await self._done(request, "dlq.retry", identity, "put back")

    async def discard(self, request: Request) -> Response:
        identity = _identity(request)
        letter = await asyncio.to_thread(self._box().get, identity)
        if letter is None or not await asyncio.to_thread(self._box().discard, identity):
            raise _unknown()
        return await self._done(request, "dlq.discard", identity, "discarded", _body(letter))

    def _box(self) -> DeadLetterBox:
        if self._parts.letters is None:
            raise Problem(NOT_READY, "There are no dead letters here.")
        return self._parts.letters

    async def _done(
        self, request: Request, action: str, identity: str, outcome: str, before: Any = None
    ) -> Response:
        await note_act(self._parts, request, action, identity, before=before)
        return json_response({"data": {"id": identity, "outcome": outcome}}, headers=_NO_STORE)


def _identity(request: Request) -> str:
    """The id in the path; one that cannot be an id is unknown."""
    identity: str = request.path_params["message_id"]
    if not (identity.isascii() and identity.isalnum()):
        raise _unknown()
    return identity


def _unknown() -> Problem:
    return Problem(UNKNOWN_LETTER, "GET /admin/reliability/dlq lists the dead letters.")


def _body(letter: Letter) -> dict[str, Any]:
    """Without the payload, which holds personal data."""
    return {
        "id": letter.id,
        "lane": letter.lane,
        "error_class": letter.error_class,
        "reason": letter.reason,
        "attempts": letter.attempts,
        "retries": letter.retries,
        "bytes": len(letter.body),
        "appended_at": rfc3339(letter.appended_ms),
        "buried_at": rfc3339(letter.buried_ms),
    }
