"""In which order the API's parts are opened and closed again, with every dependency dead."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from fallback.mode.orchestrator import Orchestrator
from fallback.pump import Pump
from fallback.spool.startup.inspection import InspectedRecord, read_spool
from pricing.api.server import ServerConfig
from pricing.cli import process_run
from pricing.drain import Drain
from pricing.stores.operations import PostgresOperations
from pricing.stores.postgres_states import PostgresStates
from pricing.stores.redis_states import RedisStates
from pricing.wiring import api, reading, writing
from pricing.wiring.api import open_api
from pricing.wiring.settings import Settings
from pricing.writing.publisher import SpoolPublisher
from streaming.producing.batch_sender import BatchSender

CLASSES = (
    BatchSender,
    Pump,
    RedisStates,
    PostgresStates,
    Orchestrator,
    PostgresOperations,
)
FUNCTIONS = (
    (api, "open_gate"),
    (writing, "claimed_spool"),
    (writing, "opened_journal"),
    (writing, "adopting"),
    (reading, "probing"),
    (reading, "refreshing"),
)

IN_ORDER = (
    ("close Orchestrator", "drain"),
    ("drain", "close adopting"),
    ("close adopting", "close Pump"),
    ("close Pump", "close BatchSender"),
    ("close BatchSender", "close claimed_spool"),
    ("close opened_journal", "close claimed_spool"),
    ("close Orchestrator", "close refreshing"),
    ("close refreshing", "close RedisStates"),
    ("close probing", "close PostgresStates"),
)


class Recorded:
    """What was opened, closed and published, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def of(self, kind: str) -> list[str]:
        told = [event.split() for event in self.events]
        return [words[1] for words in told if words[0] == kind and len(words) > 1]

    def at(self, event: str) -> int:
        return self.events.index(event)

    def function(self, name: str, open_: Callable[..., Any]) -> Callable[..., Any]:
        @asynccontextmanager
        async def opened(*arguments: Any, **options: Any):
            async with open_(*arguments, **options) as value:
                self.events.append(f"open {name}")
                try:
                    yield value
                finally:
                    self.events.append(f"close {name}")
            self.events.append(f"closed {name}")

        return opened

    def method(self, event: str, call: Callable[..., Any]) -> Callable[..., Any]:
        async def called(*arguments: Any, **options: Any) -> Any:
            self.events.append(event)
            return await call(*arguments, **options)

        return called


@pytest.fixture
def recorded(monkeypatch) -> Recorded:
    record = Recorded()
    for kind in CLASSES:
        name = kind.__name__
        for method, event in (("__aenter__", "open"), ("__aexit__", "close")):
            patched = record.method(f"{event} {name}", getattr(kind, method))
            monkeypatch.setattr(kind, method, patched)
    for module, name in FUNCTIONS:
        monkeypatch.setattr(module, name, record.function(name, getattr(module, name)))
    for kind, method in ((Pump, "drain"), (SpoolPublisher, "publish")):
        monkeypatch.setattr(kind, method, record.method(method, getattr(kind, method)))
    return record


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Nothing listens where the dependencies should be."""
    return Settings(
        redis_url="redis://127.0.0.1:1/0",
        database_url="postgresql://nobody@127.0.0.1:1/nothing",
        kafka_bootstrap_servers="127.0.0.1:1",
        state_dir=tmp_path,
        auth="open",
        publish_wait_ms=1,
    )


async def take_in_a_ride(app: Any) -> None:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await client.post("/api/v1/events/ride-requests", json={"zone_id": "161"})
    assert answer.status_code == 202, answer.text


async def test_parts_close_in_reverse_of_opening(settings, recorded):
    async with open_api(settings):
        opened = recorded.of("open")
        assert recorded.of("close") == []
    # Redis is opened twice: the first reads have a client of their own.
    assert len(opened) == len(CLASSES) + len(FUNCTIONS) + 1
    assert recorded.of("close") == opened[::-1]


async def test_user_closes_before_what_it_uses(settings, recorded):
    async with open_api(settings):
        pass
    assert [pair for pair in IN_ORDER if recorded.at(pair[0]) >= recorded.at(pair[1])] == []


async def test_event_taken_in_last_outlives_the_closing(settings, recorded, tmp_path):
    async with open_api(settings) as (app, _):
        await take_in_a_ride(app)
    assert "publish" not in recorded.events[recorded.at("close claimed_spool") :]
    waiting = [
        found
        for found in read_spool(tmp_path / writing.SPOOLS / "0")
        if isinstance(found, InspectedRecord) and found.is_pending
    ]
    assert len(waiting) >= 1


async def test_server_ends_before_anything_closes(settings, recorded, monkeypatch):
    serve = process_run.serve

    async def served(app: Any, host: str, port: int, *, drain: Drain) -> None:
        config = ServerConfig(drain_delay_s=0, grace_s=1, handles_signals=False)
        server = asyncio.create_task(serve(app, host, port, drain=drain, config=config))
        await until_listening(host, port)
        drain.begin()
        await server
        recorded.events.append("served")

    monkeypatch.setattr(process_run, "serve", served)
    assert await process_run._api(settings.model_copy(update={"http_port": free_port()})) == 0
    closes = [number for number, event in enumerate(recorded.events) if event.startswith("close")]
    assert recorded.at("served") < closes[0]


async def until_listening(host: str, port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return
            await asyncio.sleep(0.01)


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])
