"""What happens around every request: plain ASGI, no endpoint knows of it.

`RequestEdge` stands outermost: what it promises (a request id, the system's headers, a log
line, a metric, no exception text) holds for every answer, also for those of the framework.
"""

from __future__ import annotations

import asyncio
import re
import time

import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pricing.api.parts import ApiParts
from pricing.api.problems import BODY_TOO_LARGE, INTERNAL, SHUTTING_DOWN, Problem, respond
from streaming.events import new_event_id

_log = structlog.get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_CLIENT_WENT_AWAY = 499
_BROKE = Problem(INTERNAL, "The request was right; please try again later.")
_CUT_OFF = Problem(
    SHUTTING_DOWN,
    "The request was cut off; whether it took effect is not known.",
    headers={"Retry-After": "1"},
)
_QUIET_ROUTES = frozenset(["/health", "/health/live", "/health/ready", "/metrics"])


class RequestEdge:
    """Gives each request its id and mode, and each answer the system's headers."""

    def __init__(self, app: ASGIApp, parts: ApiParts) -> None:
        self._app = app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._parts, scope, send)
        bound = structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        try:
            await self._app(exchange.scope, receive, exchange.send)
        except asyncio.CancelledError:
            if exchange.status is not None or not self._parts.drain.is_draining:
                raise
            # The server cuts off what takes too long to end; the client still gets a word.
            await exchange.fail(receive, _CUT_OFF)
        except ClientDisconnect:
            _log.debug("client went away")
        except Exception:  # the last border: whatever broke, the client gets a problem
            _log.exception("request broke")
            if exchange.status is not None:
                raise  # the answer had begun: cutting it short is all that is left
            await exchange.fail(receive, _BROKE)
        finally:
            exchange.finish()
            structlog.contextvars.reset_contextvars(**bound)


class _Exchange:
    """One request and its answer."""

    def __init__(self, parts: ApiParts, scope: Scope, send: Send) -> None:
        given_id = Headers(scope=scope).get("x-request-id", "")
        self.request_id = given_id if _REQUEST_ID.fullmatch(given_id) else new_event_id()
        self.mode = parts.mode()
        self.status: int | None = None
        self.method: str = scope["method"]
        self._started_s = time.perf_counter()
        self._parts = parts
        self._send = send
        state = scope.setdefault("state", {})
        state["request_id"] = self.request_id
        state["mode"] = self.mode
        # A HEAD is answered as a GET; the server leaves the body out.
        self.scope = {**scope, "method": "GET"} if self.method == "HEAD" else scope

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *self._system_headers()]
        await self._send(message)

    async def fail(self, receive: Receive, problem: Problem) -> None:
        response = respond(HTTPConnection(self.scope), problem)
        await response(self.scope, receive, self.send)

    def finish(self) -> None:
        route = getattr(self.scope.get("route"), "path", "unmatched").rstrip("/")
        status = _CLIENT_WENT_AWAY if self.status is None else self.status
        duration_s = time.perf_counter() - self._started_s
        self._parts.metrics.request(route, self.method, status, duration_s)
        if self._parts.config.access_log:
            log = _log.debug if route in _QUIET_ROUTES else _log.info
            log(
                "request answered",
                method=self.method,
                path=self.scope["path"],
                route=route,
                status=status,
                duration_ms=round(duration_s * 1000, 2),
            )

    def _system_headers(self) -> list[tuple[bytes, bytes]]:
        services = self._parts.health.services()
        is_degraded = self.mode != "normal" or any(
            service.status in ("degraded", "unhealthy") for service in services.values()
        )
        database = services["database"].state.encode()
        headers = [
            (b"x-request-id", self.request_id.encode()),
            (b"x-system-mode", self.mode.encode()),
            (b"x-system-degraded", b"true" if is_degraded else b"false"),
            (b"x-cache-status", services["redis"].state.encode()),
            (b"x-database-status", database),
            (b"x-circuit-breaker-db", database),
            (b"x-content-type-options", b"nosniff"),
        ]
        if self._parts.drain.is_draining:
            headers.append((b"connection", b"close"))
        return headers


class BodyLimit:
    """Refuses a body above the limit with 413, by its declared length or as it comes in."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:18]) > self._max_body_bytes:
            await respond(HTTPConnection(scope), self._problem())(scope, receive, send)
            return
        received = 0

        async def receive_within_limit() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise self._problem()
            return message

        await self._app(scope, receive_within_limit, send)

    def _problem(self) -> Problem:
        detail = f"The body may have at most {self._max_body_bytes} bytes."
        return Problem(BODY_TOO_LARGE, detail)
