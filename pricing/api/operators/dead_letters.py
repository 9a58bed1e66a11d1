"""Dead letters for operators: look, put back, throw away."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable
from typing import Any, TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import Response

from fallback.pump.dead_letters import Letter
from pricing.api.http.audit_trail import record_action
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.paging import bad_cursor, decode_cursor, encode_cursor
from pricing.api.http.problems import DEAD_LETTERS_UNAVAILABLE, UNKNOWN_LETTER, Problem
from pricing.api.http.request_parsing import parse_query
from pricing.api.http.responses import NO_STORE, json_response
from pricing.api.schemas.operators import DeadLettersQuery
from pricing.writing.dead_letters import dead_letter_json

_log = structlog.get_logger(__name__)

_RETRY_AFTER_S = 5
_T = TypeVar("_T")
_Position = tuple[int, str]
"""When a letter was laid aside, and its id: the order of the box."""


class DeadLetters:
    """The endpoints over the box of this instance. They answer 503 where its disk fails."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._dependencies = dependencies
        self._box = dependencies.dead_letters

    async def list_letters(self, request: Request) -> Response:
        query = parse_query(DeadLettersQuery, request)
        after = None if query.cursor is None else _parse_position(query.cursor)
        letters = await _on_disk(self._box.letters)
        start = 0 if after is None else bisect_right(letters, after, key=_position)
        page = letters[start : start + query.limit]
        has_more = start + len(page) < len(letters)
        return json_response(
            {
                "data": [_json(letter) for letter in page],
                "next": _cursor(page[-1]) if has_more else None,
            },
            headers=NO_STORE,
        )

    async def retry(self, request: Request) -> Response:
        letter_id = _letter_id(request)
        if not await _on_disk(lambda: self._box.ask_retry(letter_id)):
            raise _unknown()
        return await self._done(request, "dlq.retry", letter_id, "put back")

    async def discard(self, request: Request) -> Response:
        letter_id = _letter_id(request)
        letter = await _on_disk(lambda: self._box.get(letter_id))
        if letter is None or not await _on_disk(lambda: self._box.discard(letter_id)):
            raise _unknown()
        return await self._done(request, "dlq.discard", letter_id, "discarded", _json(letter))

    async def _done(
        self, request: Request, action: str, letter_id: str, outcome: str, before: Any = None
    ) -> Response:
        await record_action(self._dependencies, request, action, letter_id, before=before)
        return json_response({"data": {"id": letter_id, "outcome": outcome}}, headers=NO_STORE)


async def _on_disk(call: Callable[[], _T]) -> _T:
    """What a call of the box returns; it blocks, so a thread makes it. Raises `Problem`."""
    try:
        return await asyncio.to_thread(call)
    except OSError as error:
        _log.warning("dead letters not reached", error=str(error))
        raise Problem(
            DEAD_LETTERS_UNAVAILABLE,
            "The disk of this instance does not work; look at EQUILIBRIUM_STATE_DIR.",
            headers={**NO_STORE, "Retry-After": str(_RETRY_AFTER_S)},
        ) from error


def _letter_id(request: Request) -> str:
    """The id in the path; one that cannot be an id is unknown, and never becomes a path."""
    letter_id: str = request.path_params["message_id"]
    if not (letter_id.isascii() and letter_id.isalnum()):
        raise _unknown()
    return letter_id


def _unknown() -> Problem:
    return Problem(UNKNOWN_LETTER, "GET /admin/reliability/dlq lists the dead letters.")


def _json(letter: Letter) -> dict[str, Any]:
    fields = dead_letter_json(letter)
    del fields["seq"]  # of the command line alone: it names a place in a file of this machine
    return fields


def _position(letter: Letter) -> _Position:
    return letter.buried_ms, letter.id


def _cursor(letter: Letter) -> str:
    return encode_cursor(f"{letter.buried_ms} {letter.id}")


def _parse_position(cursor: str) -> _Position:
    at_ms, _, letter_id = decode_cursor(cursor).partition(" ")
    if not (at_ms.isascii() and at_ms.isdecimal() and letter_id):
        raise bad_cursor()
    return int(at_ms), letter_id
