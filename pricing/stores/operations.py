"""Mode events and the audit in Postgres."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from fallback.guards.retry import Retry
from pricing.stores.postgres_client import Database, DatabaseConfig
from pricing.stores.sql import load_queries
from streaming.events.event_types import AuditRecordedV1, ModeChangedV1, rfc3339, to_ms

LAST = (datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))
"""A position after every row; rows are read backwards from it."""

PagePosition = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class Page:
    """Rows, the newest first, and where the next page begins; None: there is none."""

    rows: list[dict[str, Any]]
    following: PagePosition | None


class PostgresOperations:
    """Writes and reads `mode_events` and `audit_log`. Raises `DependencyError`.

    An async context manager that owns its connections. Entering does no I/O. Reads are tried
    again as `retry` says; None: never.
    """

    def __init__(self, config: DatabaseConfig, *, retry: Retry | None = None) -> None:
        self._config = config
        self._retry = retry
        self._database = Database(config.url, config)
        self._sql = load_queries()

    async def __aenter__(self) -> Self:
        await self._database.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._database.__aexit__(kind, error, trace)

    async def write(
        self,
        modes: Sequence[tuple[str, ModeChangedV1]],
        audits: Sequence[tuple[str, AuditRecordedV1]],
    ) -> None:
        """Keep events by their ids, in one transaction; those that are there stay as they are."""
        async with self._database.transaction(self._config.write_timeout_ms) as connection:
            if modes:
                rows = [_mode_row(*one) for one in modes]
                await connection.executemany(self._sql["insert_mode_event"], rows)
            if audits:
                rows = [_audit_row(*one) for one in audits]
                await connection.executemany(self._sql["insert_audit"], rows)

    async def mode_events(self, limit: int, before: PagePosition = LAST) -> Page:
        return await self._read("read_mode_events", limit, before)

    async def audit(self, limit: int, before: PagePosition = LAST) -> Page:
        return await self._read("read_audit", limit, before)

    async def _read(self, name: str, limit: int, before: PagePosition) -> Page:
        def read() -> Awaitable[Page]:
            return self._read_once(name, limit, before)

        return await (read() if self._retry is None else self._retry.call(name, read))

    async def _read_once(self, name: str, limit: int, before: PagePosition) -> Page:
        async with self._database.connection(self._config.timeout_ms) as connection:
            # One row more than the page holds tells whether another page follows.
            rows = await connection.fetch(self._sql[name], *before, limit + 1)
        has_more = len(rows) > limit
        last = rows[limit - 1] if has_more else None
        following = None if last is None else (last["occurred_at"], last["event_id"])
        return Page([_body(dict(row)) for row in rows[:limit]], following)


_JSON = ("causes", "inputs", "override", "before", "after")


def _body(body: dict[str, Any]) -> dict[str, Any]:
    body["id"] = str(body.pop("event_id"))
    body["occurred_at"] = rfc3339(to_ms(body["occurred_at"]))
    if "old_level" in body:
        body["from"], body["to"] = body.pop("old_level"), body.pop("new_level")
    for name in _JSON:
        if isinstance(body.get(name), str):
            body[name] = json.loads(body[name])
    return body


def _mode_row(event_id: str, event: ModeChangedV1) -> tuple[Any, ...]:
    return (
        UUID(event_id),
        event.instance,
        event.kind,
        event.old,
        event.new,
        event.mode,
        json.dumps(event.causes),
        json.dumps(event.inputs),
        None if event.override is None else json.dumps(event.override),
        event.occurred_at,
    )


def _audit_row(event_id: str, event: AuditRecordedV1) -> tuple[Any, ...]:
    return (
        UUID(event_id),
        event.actor,
        event.action,
        event.target,
        None if event.before is None else json.dumps(event.before),
        None if event.after is None else json.dumps(event.after),
        event.reason,
        event.instance,
        event.request_id,
        event.occurred_at,
    )
