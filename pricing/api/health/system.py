"""The system mode over HTTP: as it is, and as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from fallback.mode import ModeEvent, ModeState
from fallback.mode.override import Override
from pricing.access.role import Role
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.problems import BUSY, INVALID_INPUT, Problem
from pricing.api.http.request_parsing import parse_query, query_parameters
from pricing.api.http.responses import NO_STORE, json_response
from pricing.api.http.routing import Operation, add, add_page
from pricing.api.schemas.operators import ModeAnswer, ModeQuery
from pricing.mode.current import SystemMode

_MOST_STREAMS = 100
_HEARTBEAT_S = 10.0
_BEHIND = 16
"""Changes that a client may have unread; with one more it cannot keep up, and is cut off."""
MODE_EXAMPLE = {
    "mode": "degraded",
    "level": "moderate",
    "computed_level": "moderate",
    "since": "2026-01-02T03:04:05.678Z",
    "causes": [
        {
            "input": "redis",
            "value": "breaker open",
            "threshold": "open; severe with Postgres at 80 % of its queries",
            "level": "moderate",
        }
    ],
    "inputs": {},
    "override": None,
    "backlog": {"events": 0, "bytes": 0, "oldest_age_s": 0.0, "percent": 0.0, "state": "healthy"},
    "dependencies": {},
    "recovering": False,
    "flapping": False,
    "read_only": False,
    "instance": "api-1",
    "timestamp": "2026-01-02T03:04:06.000Z",
}


class _Subscriber:
    """What one client has not been told yet."""

    def __init__(self) -> None:
        self.news: asyncio.Queue[None] = asyncio.Queue(maxsize=_BEHIND)
        self.is_behind = False

    def wake(self) -> None:
        try:
            self.news.put_nowait(None)
        except asyncio.QueueFull:
            self.is_behind = True


class _Subscribers:
    """Who follows the mode; an observer of the orchestrator that only wakes them."""

    def __init__(self, system: SystemMode) -> None:
        self.all: set[_Subscriber] = set()
        self._system = system
        self._override: Override | None = None
        self._step = self._told = 0

    def on_step(self, state: ModeState, seen_s: float) -> None:
        """An operator may steer without changing the level: that is news too."""
        del state, seen_s
        self._step += 1
        override = self._system.override
        if override is not self._override:
            self._override = override
            self._wake()

    def on_mode_event(self, event: ModeEvent, override: Override | None) -> None:
        del event, override
        self._wake()

    def on_override_ended(self, override: Override) -> None: ...

    def _wake(self) -> None:
        """Once a step, whatever it brought: they get the whole state."""
        if self._told == self._step:
            return
        self._told = self._step
        for subscriber in self.all:
            subscriber.wake()


class _ModeEndpoints:
    def __init__(self, dependencies: ApiDependencies) -> None:
        self._system = dependencies.system
        self._drain = dependencies.drain
        self._subscribers = _Subscribers(dependencies.system)
        dependencies.system.observe(self._subscribers)

    async def mode(self, request: Request) -> Response:
        query = parse_query(ModeQuery, request)
        body = self._system.as_json()
        if query.fleet in ("true", "1"):
            body["fleet"] = self._system.fleet_json()
        return json_response({"data": body}, headers=NO_STORE)

    async def stream(self, _request: Request) -> Response:
        if len(self._subscribers.all) >= _MOST_STREAMS:
            raise Problem(
                BUSY, "As many streams as can be served are open.", headers={"Retry-After": "10"}
            )
        return StreamingResponse(
            self._follow(),
            media_type="text/event-stream",
            # The second is for nginx, which would hold the stream back in its buffer.
            headers={**NO_STORE, "X-Accel-Buffering": "no"},
        )

    async def _follow(self) -> AsyncIterator[bytes]:
        subscriber = _Subscriber()
        self._subscribers.all.add(subscriber)
        drained = asyncio.ensure_future(self._drain.wait())
        try:
            yield _message("mode", self._system)
            while not drained.done():
                woken = asyncio.ensure_future(subscriber.news.get())
                done, _ = await asyncio.wait(
                    {woken, drained}, timeout=_HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                )
                if woken not in done:
                    woken.cancel()
                    if drained in done:
                        return
                    yield b": still here\n\n"
                    continue
                if subscriber.is_behind:
                    yield _message("lagged", self._system)
                    return
                yield _message("mode", self._system)
        finally:
            drained.cancel()
            self._subscribers.all.discard(subscriber)


def _message(event: str, system: SystemMode) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), orjson.dumps(system.as_json()))


def add_system(app: FastAPI, dependencies: ApiDependencies) -> None:
    """Serve the system mode and the stream of its changes."""
    endpoints = _ModeEndpoints(dependencies)
    add(
        app,
        endpoints.mode,
        Operation(
            method="GET",
            path="/api/v1/system/mode",
            operation_id="getSystemMode",
            tag="system",
            summary="The system mode",
            description="Mode, level, what causes it, and what every input shows. Told from "
            "memory. `GET /api/v1/system/stream` tells each change (server-sent events).",
            answer=ModeAnswer,
            example={"data": MODE_EXAMPLE},
            problems=(INVALID_INPUT,),
            parameters=query_parameters(ModeQuery),
        ),
    )
    add_page(app, "/api/v1/system/stream", endpoints.stream, role=Role.CLIENT)
