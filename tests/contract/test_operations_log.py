"""What every log of operations does, on Postgres and on its in-memory twin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pricing.stores.memory import MemoryOperations
from pricing.stores.migrate import migrate
from pricing.stores.operations import PostgresOperations
from pricing.stores.postgres_client import DatabaseConfig
from streaming.events.event_types import AuditRecordedV1, ModeChangedV1, new_event_id
from tests.support.grid_city import grid_zones

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


@pytest.fixture(params=["memory", "postgres"])
def log_url(request) -> str | None:
    return request.getfixturevalue("database_url") if request.param == "postgres" else None


@pytest.fixture
async def log(log_url) -> AsyncIterator[Any]:
    if log_url is None:
        yield MemoryOperations()
        return
    config = DatabaseConfig(url=log_url, timeout_ms=5_000)
    await migrate(config, grid_zones(6), timeout_s=20)
    async with PostgresOperations(config) as operations:
        yield operations


def audit(second: int, **changes: Any) -> tuple[str, AuditRecordedV1]:
    fields = {
        "actor": "anna (abc)",
        "action": "breaker.reset",
        "target": "redis",
        "before": "OPEN",
        "after": {"state": "CLOSED"},
        "instance": "api-1",
        "occurred_at": NOON + timedelta(seconds=second),
    }
    return new_event_id(), AuditRecordedV1(**(fields | changes))


def mode(second: int) -> tuple[str, ModeChangedV1]:
    moment = NOON + timedelta(seconds=second)
    return new_event_id(), ModeChangedV1(
        instance="api-1",
        kind="mode",
        old="normal",
        new="moderate",
        mode="degraded",
        causes=[{"input": "redis", "level": "moderate"}],
        inputs={},
        since=moment,
        occurred_at=moment,
    )


async def test_log_that_holds_nothing_gives_an_empty_last_page(log):
    for page in (await log.audit(10), await log.mode_events(10)):
        assert (page.rows, page.following) == ([], None)


async def test_rows_come_back_as_they_were_written(log):
    (audit_id, _), (mode_id, _) = written = audit(0), mode(1)
    await log.write([written[1]], [written[0]])
    assert (await log.audit(10)).rows == [
        {
            "id": audit_id,
            "actor": "anna (abc)",
            "action": "breaker.reset",
            "target": "redis",
            "before": "OPEN",
            "after": {"state": "CLOSED"},
            "reason": None,
            "instance": "api-1",
            "request_id": None,
            "occurred_at": "2026-01-02T12:00:00.000Z",
        }
    ]
    assert (await log.mode_events(10)).rows == [
        {
            "id": mode_id,
            "instance": "api-1",
            "kind": "mode",
            "from": "normal",
            "to": "moderate",
            "mode": "degraded",
            "causes": [{"input": "redis", "level": "moderate"}],
            "inputs": {},
            "override": None,
            "occurred_at": "2026-01-02T12:00:01.000Z",
        }
    ]


async def test_pages_hold_every_row_once_the_newest_first(log):
    written = [audit(second) for second in (0, 1, 1, 2, 3)]
    await log.write([], written)
    found, page = [], await log.audit(2)
    while page.following is not None:
        found += page.rows
        page = await log.audit(2, page.following)
    found += page.rows
    newest_first = sorted(written, key=lambda each: (each[1].occurred_at, each[0]), reverse=True)
    assert [row["id"] for row in found] == [event_id for event_id, _ in newest_first]


async def test_event_that_comes_twice_is_kept_as_it_was_first(log):
    event_id, first = audit(0)
    await log.write([], [(event_id, first)])
    await log.write([], [(event_id, first.model_copy(update={"actor": "eve"}))])
    assert [row["actor"] for row in (await log.audit(10)).rows] == ["anna (abc)"]
