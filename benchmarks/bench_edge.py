"""What the mode, the keys and the edge around every request cost, of a whole request."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from starlette.types import ASGIApp, Message

from benchmarks.bench_price import now_ms, price_ladder
from benchmarks.benchmark import Case
from pricing.access.auth import KeyGate
from pricing.access.keys import KeyFile
from pricing.access.role import Role
from pricing.api.app import create_app
from pricing.api.http.dependencies import ApiConfig, ApiDependencies
from pricing.api.http.routing import Api
from pricing.metrics.api import Metrics
from pricing.metrics.request_stats import RequestStats
from pricing.mode.current import CurrentPolicy
from pricing.mode.policy import ModePolicy, policies
from pricing.reading.policy import ReadPolicy
from pricing.stores.memory import MemoryStates
from pricing.wiring.in_memory import in_memory_dependencies
from pricing.zones import load_catalogue

_REQUESTS = 500
_PRICE, _LIVE = "/api/v1/zones/161/price", "/health/live"


def _left_nothing(*_facts: object) -> None: ...


def _without_stats(run: Callable[[], None]) -> Callable[[], None]:
    """The same where requests leave nothing behind for a mode."""
    return patch.multiple(RequestStats, answered=_left_nothing, request=_left_nothing)(run)


def _dependencies() -> ApiDependencies:
    """An API over memory, whose mode is fixed."""
    fixed = ModePolicy()
    return replace(
        in_memory_dependencies(load_catalogue(None)),
        ladder=price_ladder(MemoryStates(), ReadPolicy()),
        now_ms=now_ms,
        policy=lambda: fixed,
        config=ApiConfig(access_log=False),
    )


def _with_mode(dependencies: ApiDependencies) -> ApiDependencies:
    current = CurrentPolicy(policies(ReadPolicy(), 50_000))
    metrics = Metrics()
    return replace(dependencies, policy=lambda: current.now, metrics=metrics)


def _with_keys(dependencies: ApiDependencies) -> tuple[ApiDependencies, str]:
    with tempfile.TemporaryDirectory() as directory:
        file = KeyFile(Path(directory) / "keys.json")
        _, text = file.create(name="anna", role=Role.CLIENT, now_s=1)
        ring = file.load()
    return replace(dependencies, gate=KeyGate(lambda: ring, wall_s=lambda: 2.0)), text


def _asking(app: ASGIApp, path: str, key: str = "-") -> Callable[[], None]:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "headers": [(b"host", b"api"), (b"accept", b"*/*"), (b"x-api-key", key.encode())],
        "http_version": "1.1",
        "scheme": "http",
        "server": ("api", 80),
        "client": ("api", 1),
        "root_path": "",
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        assert message.get("status", 200) == 200, message

    async def ask() -> None:
        for _ in range(_REQUESTS):
            await app({**scope, "state": {}}, receive, send)

    return lambda: asyncio.run(ask())


class _Edge:
    name = "edge"
    what = (
        "A whole request but for server and network, over memory. The baseline is a price from an "
        "API without a mode; what follows it has the mode, and then keys too. The last two are "
        "another request, through the framework alone and with everything that stands around it."
    )
    unit = "request"

    def cases(self) -> Sequence[Case]:
        bare = _dependencies()
        with_mode = _with_mode(bare)
        with_keys, key = _with_keys(with_mode)
        framework = create_app(with_mode)
        assert isinstance(framework, Api)
        ways = [
            ("price, without a mode", _without_stats(_asking(create_app(bare), _PRICE))),
            ("price, with the mode", _asking(create_app(with_mode), _PRICE)),
            ("price, with the mode and keys", _asking(create_app(with_keys), _PRICE, key)),
            ("liveness, the framework alone", _asking(framework.inside, _LIVE)),
            ("liveness, with all that stands around it", _asking(framework, _LIVE)),
        ]
        return [Case(label=label, run=run, operations=_REQUESTS) for label, run in ways]


BENCHMARK = _Edge()
