"""Publishes numbered events and judges, in the end, what became of them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field

import orjson

from pricing.errors import DependencyError
from pricing.ports import Publisher
from streaming.consuming.records import ConsumedRecord
from streaming.events.codec import decode, encode
from tests.support.kafka_log import ride_request

KEYS = 24


@dataclass
class Oracle:
    """What was promised: acknowledged ids, in order, by key."""

    promised: dict[str, bytes] = field(default_factory=dict)
    """By id, the payload of each acknowledged event."""
    uncertain: set[str] = field(default_factory=set)
    """Published, and nobody knows: they may be in the log or not."""
    order: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    refused: int = 0
    append_ms: list[float] = field(default_factory=list)
    _number: int = 0

    async def publish(self, publisher: Publisher, count: int) -> None:
        """Publish so many new events at once."""
        events = []
        for _ in range(count):
            self._number += 1
            events.append(ride_request(self._number, key=f"city-{self._number % KEYS}"))
        began_s = time.monotonic()
        try:
            await publisher.publish("ride-requests", events)
        except DependencyError:
            self.refused += len(events)
            self.uncertain.update(event.id for event in events)
            return
        self.append_ms.append((time.monotonic() - began_s) * 1000)
        for event in events:
            self.promised[event.id] = encode(event).value or b""
            self.order[event.key].append(event.id)

    def judge(self, log: list[ConsumedRecord]) -> Verdict:
        """Fails the test where a promise was broken; `log` is in the order of each partition."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        times: defaultdict[str, int] = defaultdict(int)
        for record in log:
            event = decode(record).event
            times[event.id] += 1
            if event.id in self.uncertain:
                continue
            assert event.id in self.promised, "an event that nobody published"
            assert orjson.dumps(dict(event.data)) == self.promised[event.id], "another payload"
            if times[event.id] == 1:
                found[event.key].append(event.id)
        lost = [identity for identity in self.promised if identity not in times]
        assert not lost, f"{len(lost)} of {len(self.promised)} acknowledged events are lost"
        inverted = [key for key, wanted in self.order.items() if found[key] != wanted]
        assert not inverted, f"the order of {len(inverted)} keys is not kept"
        return Verdict(len(self.promised), sum(times.values()) - len(times))


@dataclass(frozen=True)
class Verdict:
    """The figures of a run without a broken promise."""

    events: int
    duplicates: int


class Load:
    """Publishes at a rate until stopped; `publisher` may be exchanged, or None for a while."""

    def __init__(self, oracle: Oracle, *, events_per_s: int, batch: int = 20) -> None:
        self.publisher: Publisher | None = None
        self._oracle = oracle
        self._batch = batch
        self._pause_s = batch / events_per_s
        self._stopped = False
        self._idle = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while not self._stopped:
            publisher = self.publisher
            if publisher is None:
                self._idle.set()
                await asyncio.sleep(0.01)
                due_s = loop.time()
                continue
            await self._oracle.publish(publisher, self._batch)
            due_s += self._pause_s
            await asyncio.sleep(max(0.0, due_s - loop.time()))
        self._idle.set()

    async def rest(self) -> None:
        """Take the publisher away, and wait until no call uses it."""
        self.publisher = None
        self._idle.clear()
        await self._idle.wait()

    async def stop(self) -> None:
        self._stopped = True
        self._idle.clear()
        await self._idle.wait()
