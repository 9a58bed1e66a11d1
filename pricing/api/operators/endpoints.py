"""What operators may do besides overriding the mode: turn breakers, look back.

Everything here works with every dependency dead, and every action goes to the audit.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from fallback.breaker import CircuitBreaker
from pricing.api.health.system import system_of
from pricing.api.http.audit_trail import note_act
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.operator_schemas import FORCE_OPEN, PageQuery, ReportQuery
from pricing.api.http.problems import UNKNOWN_BREAKER, FieldError, Problem, invalid_input
from pricing.api.http.request_parsing import json_text, parse, parse_query
from pricing.api.http.routing import json_response
from pricing.errors import DependencyError
from pricing.stores.operations import LAST, Page, PagePosition

_NO_STORE = {"Cache-Control": "no-store"}


class Admin:
    """The operators' endpoints."""

    def __init__(self, parts: ApiDependencies) -> None:
        self._parts = parts

    async def breakers(self, _request: Request) -> Response:
        found = [_breaker(one) for one in system_of(self._parts).breakers]
        return json_response({"data": found}, headers=_NO_STORE)

    async def reset_breaker(self, request: Request) -> Response:
        breaker = self._breaker(request)
        before = breaker.state.value
        breaker.reset()
        await note_act(
            self._parts,
            request,
            "breaker.reset",
            breaker.name,
            before=before,
            after=breaker.state.value,
        )
        return json_response({"data": _breaker(breaker)}, headers=_NO_STORE)

    async def force_open(self, request: Request) -> Response:
        breaker = self._breaker(request)
        wish = parse(FORCE_OPEN, await json_text(request))
        before = breaker.state.value
        breaker.force_open(for_s=wish.expires_in_s)
        await note_act(
            self._parts,
            request,
            "breaker.force_open",
            breaker.name,
            before=before,
            after={"state": breaker.state.value, "expires_in_s": wish.expires_in_s},
            reason=wish.reason,
        )
        return json_response({"data": _breaker(breaker)}, headers=_NO_STORE)

    async def reset_all(self, request: Request) -> Response:
        breakers = system_of(self._parts).breakers
        before = {one.name: one.state.value for one in breakers}
        breakers.reset_all()
        after = {one.name: one.state.value for one in breakers}
        await note_act(
            self._parts, request, "breaker.reset_all", "breakers", before=before, after=after
        )
        return json_response({"data": [_breaker(one) for one in breakers]}, headers=_NO_STORE)

    def _breaker(self, request: Request) -> CircuitBreaker:
        breaker = system_of(self._parts).breakers.get(request.path_params["service"])
        if breaker is None:
            names = ", ".join(one.name for one in system_of(self._parts).breakers)
            raise Problem(UNKNOWN_BREAKER, f"There are {names}.")
        return breaker

    async def history(self, request: Request) -> Response:
        operations = self._parts.operations
        journal = system_of(self._parts).history()
        return await _listing(
            request, None if operations is None else operations.mode_events, journal
        )

    async def audit(self, request: Request) -> Response:
        operations, audit = self._parts.operations, self._parts.audit
        recent: Iterable[dict[str, Any]] = () if audit is None else audit.recent
        return await _listing(request, None if operations is None else operations.audit, recent)

    async def report(self, request: Request) -> Response:
        asked = parse_query(ReportQuery, request)
        system = system_of(self._parts)
        return json_response({"data": system.report(asked.window)}, headers=_NO_STORE)


def _breaker(breaker: CircuitBreaker) -> dict[str, Any]:
    known = breaker.snapshot()
    return {
        "service": breaker.name,
        "state": known.state.value,
        "calls": known.counts.calls,
        "failures": known.counts.failures,
        "failure_rate": round(known.counts.failure_rate, 4),
        "successes_total": known.successes_total,
        "failures_total": known.failures_total,
        "rejected_total": known.rejected_total,
        "retry_after_s": None if known.retry_after_s is None else round(known.retry_after_s, 3),
    }


_Read = Callable[[int, PagePosition], Awaitable[Page]]


async def _listing(
    request: Request, read: _Read | None, recent: Iterable[dict[str, Any]]
) -> Response:
    """A page out of the database; while it is dead, what this instance remembers."""
    asked = parse_query(PageQuery, request)
    before = LAST if asked.cursor is None else _place(asked.cursor)
    page: Page | None = None
    if read is not None:
        try:
            page = await read(asked.limit, before)
        except DependencyError:
            page = None
    if page is None:
        rows = _first(recent, asked.limit)
        content = {"data": rows, "next": None, "source": "memory"}
    else:
        following = None if page.following is None else _cursor(page.following)
        content = {"data": page.rows, "next": following, "source": "database"}
    return json_response(content, headers=_NO_STORE)


def _first(entries: Iterable[dict[str, Any]], limit: int) -> Sequence[dict[str, Any]]:
    return [entry for _, entry in zip(range(limit), entries, strict=False)]


def _cursor(place: PagePosition) -> str:
    return base64.urlsafe_b64encode(f"{place[0].isoformat()} {place[1]}".encode()).decode()


def _place(cursor: str) -> PagePosition:
    try:
        text, _, event_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition(" ")
        moment = datetime.fromisoformat(text).astimezone(UTC)
        return moment, UUID(event_id)
    except (ValueError, binascii.Error, OverflowError):
        fault = FieldError("/cursor", "is not one that a page gave as `next`")
        raise invalid_input([fault]) from None
