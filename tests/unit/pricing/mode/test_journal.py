"""The mode's changes on their way to the world, and what comes back from the others."""

from __future__ import annotations

import asyncio

import pytest

from fallback.mode import BoundsKind, Level
from fallback.mode.override import OverrideRequest
from pricing.clocks import now_ms
from pricing.errors import DependencyUnavailable
from pricing.mode.fleet import Fleet
from streaming.consuming.records import ConsumedRecord
from streaming.errors import BrokerUnavailable
from streaming.events.codec import decode, encode
from streaming.events.event_types import ModeChangedV1
from tests.support.api import World
from tests.support.waiting import until

FLOOR = OverrideRequest(
    kind=BoundsKind.FLOOR, level=Level.MODERATE, reason="maintenance of the cache", actor="anna"
)


@pytest.fixture
def world() -> World:
    return World()


def tick(world: World, times: int = 1) -> None:
    for _ in range(times):
        world.shown.clocks.advance(1.0)
        world.stepped.orchestrator.step()


@pytest.fixture
async def published(world):
    """The mode events that reach the publisher, as a reader of the topic sees them."""
    found: list[ModeChangedV1] = []
    task = asyncio.create_task(world.stepped.journal.run(heartbeat_s=0.02))

    def look() -> list[ModeChangedV1]:
        found.clear()
        for topic, batch in world.publisher.batches:
            if topic == "system-modes":
                found.extend(decode(encode(event)).payload for event in batch)
        return found

    yield look
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_change_is_published_with_causes_and_inputs(world, published):
    world.shown.show("redis", Level.MODERATE)
    tick(world)
    await until(lambda: any(one.kind == "mode" for one in published()), "the change")
    event = next(one for one in published() if one.kind == "mode")
    assert (event.old, event.new, event.mode) == ("normal", "moderate", "degraded")
    assert event.causes[0]["input"] == "redis"
    assert event.inputs["redis"]["level"] == "moderate"
    assert event.instance == "api-1"


async def test_heartbeat_tells_the_mode_although_nothing_changes(world, published):
    tick(world)
    await until(lambda: any(one.kind == "heartbeat" for one in published()), "a heartbeat")
    beat = next(one for one in published() if one.kind == "heartbeat")
    assert (beat.old, beat.new) == ("normal", "normal")


async def test_override_travels_with_the_change(world, published):
    await world.system.set_override(FLOOR)
    await until(lambda: any(one.override for one in published()), "the override")
    event = next(one for one in published() if one.override)
    assert (event.override["kind"], event.override["actor"]) == ("floor", "anna")


async def test_journal_goes_on_when_nothing_can_be_published(world, published):
    world.publisher.failure = DependencyUnavailable("spool", "gone")
    world.shown.show("redis", Level.MODERATE)
    tick(world)
    await asyncio.sleep(0.05)
    world.publisher.failure = None
    world.shown.show("redis", Level.SEVERE)
    tick(world)
    await until(lambda: any(one.new == "severe" for one in published()), "the next change")
    assert [entry["to"] for entry in world.system.history()] == ["severe", "moderate"]


class Feed:
    """A topic's tail that a test fills, or a broker that is gone."""

    def __init__(self) -> None:
        self.records: list[ConsumedRecord] = []
        self.failure: Exception | None = None
        self.reads = 0

    async def read(self, timeout_s: float) -> list[ConsumedRecord]:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        taken, self.records = self.records, []
        return taken


def records(world: World) -> list[ConsumedRecord]:
    found = []
    for topic, batch in world.publisher.batches:
        if topic == "system-modes":
            for event in batch:
                wire = encode(event)
                found.append(ConsumedRecord(topic, 0, 0, 0, wire.key, wire.value, wire.headers))
    return found


async def test_fleet_holds_the_last_word_of_every_instance(world, published):
    world.shown.show("redis", Level.MODERATE)
    tick(world)
    await until(published, "a change")
    feed, now = Feed(), world.clock()
    heard = []
    fleet = Fleet(feed, now_ms=lambda: now, on_read=heard.append)
    broken = ConsumedRecord("system-modes", 0, 0, 0, b"x", b"{", ())
    feed.records = [broken, *records(world)]
    task = asyncio.create_task(fleet.run())
    await until(fleet.instances, "an instance")
    assert [(one["instance"], one["level"]) for one in fleet.instances()] == [("api-1", "moderate")]
    assert (fleet.read_at_ms, heard) == (now, [None])
    now += 179_000
    assert fleet.instances()[0]["age_s"] == 179.0
    now += 1_000
    assert fleet.instances() == []
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_fleet_outlives_a_dead_broker():
    feed = Feed()
    feed.failure = BrokerUnavailable("gone")
    heard = []
    fleet = Fleet(feed, now_ms=now_ms, on_read=heard.append)
    task = asyncio.create_task(fleet.run())
    await until(lambda: feed.reads, "a try")
    assert heard == [feed.failure]
    assert (fleet.instances(), fleet.read_at_ms, task.done()) == ([], None, False)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def test_older_event_does_not_replace_newer_one():
    fleet = Fleet(Feed(), now_ms=lambda: 10)
    fleet.note(5, {"instance": "a", "level": "minor"})
    fleet.note(4, {"instance": "a", "level": "severe"})
    assert fleet.instances()[0]["level"] == "minor"
