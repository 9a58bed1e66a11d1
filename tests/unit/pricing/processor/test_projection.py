"""The projection of mode events and audit, over a reader and a store in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pricing.access.audit import Audit
from pricing.access.auth import ANYONE
from pricing.errors import DependencyUnavailable
from pricing.processor.projection import OperationsProjection
from streaming.consuming.records import ConsumedRecord, Polled
from streaming.errors import BrokerUnavailable
from streaming.events.codec import encode
from streaming.events.event_types import MODE_CHANGED, Event, new_event_id
from tests.support.publisher import MemoryPublisher
from tests.support.waiting import until

MODE = {
    "instance": "api-1",
    "kind": "mode",
    "from": "normal",
    "to": "minor",
    "mode": "degraded",
    "causes": [],
    "inputs": {},
    "since": "2026-01-02T03:04:05.678Z",
    "occurred_at": "2026-01-02T03:04:05.678Z",
}


def record(event: Event, topic: str = "system-modes") -> ConsumedRecord:
    wire = encode(event)
    return ConsumedRecord(topic, 2, 0, 0, wire.key, wire.value, wire.headers)


def mode_event(event_id: str | None = None, **change: Any) -> Event:
    return Event(
        id=event_id or new_event_id(),
        type=MODE_CHANGED,
        source="/test",
        time_ms=1_767_323_045_678,
        key="api-1",
        data={**MODE, **change},
    )


class Reader:
    def __init__(self) -> None:
        self.polls: list[Polled | Exception] = []
        self.commits: list[int] = []

    async def poll(self, timeout_s: float) -> Polled:
        if not self.polls:
            await asyncio.sleep(0.01)
            return Polled()
        taken = self.polls.pop(0)
        if isinstance(taken, Exception):
            raise taken
        return taken

    def positions(self, slot: int) -> dict[str, int]:
        return {"system-modes": 1}

    async def commit(self, slot: int, offsets: dict[str, int]) -> bool:
        self.commits.append(slot)
        return True


class Store:
    def __init__(self) -> None:
        self.failures = 0
        self.modes: list[tuple[str, Any]] = []
        self.audits: list[tuple[str, Any]] = []

    async def write(self, modes, audits) -> None:
        if self.failures:
            self.failures -= 1
            raise DependencyUnavailable("database", "gone")
        self.modes += modes
        self.audits += audits


@pytest.fixture
async def projection(monkeypatch):
    monkeypatch.setattr("pricing.processor.projection._RETRY_S", 0.01)
    reader, store = Reader(), Store()
    task = asyncio.create_task(OperationsProjection(reader, store).run())
    yield reader, store
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_events_are_written_before_their_place_is_kept(projection):
    reader, store = projection
    publisher = MemoryPublisher()
    await Audit("api-1", publisher, now_ms=lambda: 1_767_323_045_678).record(
        ANYONE, "breaker.reset", "redis", before="OPEN", after="CLOSED"
    )
    act = record(publisher.events[0], "audit")
    reader.polls.append(Polled(records=[record(mode_event()), act]))
    await until(lambda: reader.commits, "a commit")
    assert [payload.new for _, payload in store.modes] == ["minor"]
    assert [(payload.action, payload.before) for _, payload in store.audits] == [
        ("breaker.reset", "OPEN")
    ]
    assert reader.commits == [2]


async def test_heartbeats_and_unreadable_records_are_passed_over(projection):
    reader, store = projection
    broken = ConsumedRecord("system-modes", 2, 0, 0, b"k", b"{", ())
    beat, foreign = mode_event(kind="heartbeat"), mode_event("no-uuid")
    reader.polls.append(Polled(records=[broken, record(beat), record(foreign)]))
    await until(lambda: reader.commits, "a commit")
    assert store.modes == []


async def test_what_is_held_waits_for_the_database(projection):
    reader, store = projection
    store.failures = 3
    reader.polls.append(Polled(records=[record(mode_event())]))
    await until(lambda: store.modes, "a row")
    assert store.failures == 0


async def test_broker_that_refuses_does_not_end_the_projection(projection):
    reader, store = projection
    reader.polls += [BrokerUnavailable("gone"), Polled(records=[record(mode_event())])]
    await until(lambda: store.modes, "a row")
