"""Looking back, for operators: changes of the mode, the audit, and how reliable it all was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.paging import bad_cursor, decode_cursor, encode_cursor
from pricing.api.http.request_parsing import parse_query
from pricing.api.http.responses import NO_STORE, json_response
from pricing.api.schemas.operators import PageQuery, ReportQuery
from pricing.errors import DependencyError
from pricing.stores.operations import LAST, Page, PagePosition


class History:
    """The endpoints that only tell what was."""

    def __init__(self, dependencies: ApiDependencies) -> None:
        self._operations = dependencies.operations
        self._audit = dependencies.audit
        self._system = dependencies.system

    async def mode_changes(self, request: Request) -> Response:
        return await _listing(request, self._operations.mode_events, self._system.history())

    async def audit(self, request: Request) -> Response:
        return await _listing(request, self._operations.audit, self._audit.recent)

    async def reliability(self, request: Request) -> Response:
        query = parse_query(ReportQuery, request)
        return json_response({"data": self._system.report(query.window)}, headers=NO_STORE)


async def _listing(
    request: Request,
    read: Callable[[int, PagePosition], Awaitable[Page]],
    recent: Iterable[dict[str, Any]],
) -> Response:
    """A page out of the database; while it is dead, what this instance remembers."""
    query = parse_query(PageQuery, request)
    before = LAST if query.cursor is None else _parse_position(query.cursor)
    try:
        page = await read(query.limit, before)
    except DependencyError:
        rows = list(islice(recent, query.limit))
        # No cursor: the database's positions say nothing of what one process remembers.
        content: dict[str, Any] = {"data": rows, "next": None, "source": "memory"}
    else:
        cursor = None if page.following is None else _cursor(page.following)
        content = {"data": page.rows, "next": cursor, "source": "database"}
    return json_response(content, headers=NO_STORE)


def _cursor(position: PagePosition) -> str:
    moment, event_id = position
    return encode_cursor(f"{moment.isoformat()} {event_id}")


def _parse_position(cursor: str) -> PagePosition:
    text, _, event_id = decode_cursor(cursor).partition(" ")
    try:
        return datetime.fromisoformat(text).astimezone(UTC), UUID(event_id)
    except (ValueError, OverflowError):
        raise bad_cursor() from None
