from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pricing.demo.faults import Faults
from pricing.embedded import EmbeddedStack, Tansu
from pricing.local.options import Fault
from tests.support.waiting import until


class Twin:
    """A server that only notes what is done to it."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.done: list[str] = []
        self.pid: int | None = 1

    async def kill(self) -> None:
        self.done.append("kill")
        self.pid = None

    async def start(self) -> None:
        self.done.append("start")
        self.pid = 2

    def thaw(self) -> None:
        self.done.append("thaw")


class TansuTwin(Tansu):
    """The same, for the broker that is treated otherwise."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.done: list[str] = []
        self.process: int | None = 1

    @property
    def pid(self) -> int | None:
        return self.process

    def freeze(self) -> None:
        self.done.append("freeze")

    def thaw(self) -> None:
        self.done.append("thaw")

    async def start(self) -> None:
        self.done.append("start")
        self.process = 2


class FaultySite:
    """Three twins, and what was said and called."""

    def __init__(self, plan: Sequence[Fault] = (), *, down_s: float = 0.0) -> None:
        self.valkey, self.postgres, self.kafka = Twin("Valkey"), Twin("PostgreSQL"), TansuTwin()
        stack = SimpleNamespace(valkey=self.valkey, postgres=self.postgres, kafka=self.kafka)
        self.said: list[str] = []
        self.logs_lost = 0
        self.faults = Faults(
            cast("EmbeddedStack", cast("Any", stack)),
            plan,
            say=self.said.append,
            on_log_lost=self._lose,
            down_s=down_s,
        )

    def _lose(self) -> None:
        self.logs_lost += 1


async def test_fault_kills_its_server_and_starts_it_again():
    site = FaultySite([Fault("redis", 0.0)])
    await site.faults.run()
    assert site.valkey.done == ["kill", "start"]
    assert site.postgres.done == []
    assert site.said == [
        "fault: Valkey was killed; it comes back in 0 s",
        "fault over: redis is back",
    ]


async def test_fault_of_the_embedded_broker_keeps_its_memory():
    site = FaultySite([Fault("kafka", 0.0)])
    await site.faults.run()
    assert site.kafka.done == ["freeze", "thaw"]
    assert site.logs_lost == 0


async def test_fault_on_a_server_that_is_down_already_does_nothing():
    site = FaultySite([Fault("database", 0.0), Fault("database", 0.01)], down_s=0.2)
    await site.faults.run()
    assert site.postgres.done == ["kill", "start"]


async def test_faults_tell_who_is_down_and_for_how_long():
    site = FaultySite([Fault("redis", 0.0)], down_s=60)
    run = asyncio.create_task(site.faults.run())
    await until(lambda: site.said, "the fault")
    assert site.faults.note == "redis is down on purpose, back in 60 s"
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    assert site.faults.note == ""


async def test_watch_leaves_a_server_alone_that_is_down_on_purpose():
    site = FaultySite([Fault("redis", 0.0)], down_s=60)
    tasks = [asyncio.create_task(site.faults.run()), asyncio.create_task(site.faults.watch())]
    await until(lambda: site.said, "the fault")
    site.postgres.pid = None
    await until(lambda: site.postgres.done, "the other server's start")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert site.valkey.done == ["kill"]
    assert "PostgreSQL ended by itself: starting it again" in site.said


async def test_watch_tells_when_a_broker_came_back_without_its_log():
    site = FaultySite()
    site.kafka.process = None
    watch = asyncio.create_task(site.faults.watch())
    await until(lambda: site.logs_lost, "the lost log")
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    assert site.kafka.done == ["start"]
