"""What happens around every request: plain ASGI, no endpoint knows of it.

`RequestEdge` stands outermost: what it promises (a request id, the system's headers, a log
line, a metric, no exception text) holds for every answer, also for those of the framework.
"""

from __future__ import annotations

import asyncio
import re
import time

import structlog
from starlette.datastructures import Headers as RequestHeaders
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fallback.errors import BulkheadFullError
from fallback.guards.bulkhead import Bulkhead
from pricing.api.http.dependencies import ApiDependencies
from pricing.api.http.problems import (
    BODY_TOO_LARGE,
    BUSY,
    INTERNAL,
    SHUTTING_DOWN,
    Problem,
    respond,
)
from pricing.api.http.raw_response import LinesResponse, headers_of, raw_writable, write_raw
from pricing.api.http.system_headers import SystemHeaders
from pricing.api.prices.fast_path import PATH as PRICE_PATH
from pricing.api.prices.fast_path import PriceFastPath
from pricing.api.prices.rendering import PriceResponse, to_response
from pricing.metrics.request_stats import PRICE_ROUTES
from streaming.events.event_types import new_event_id

_log = structlog.get_logger(__name__)

_CLIENT_WENT_AWAY = 499
_BROKE = Problem(INTERNAL, "The request was right; please try again later.")
_CUT_OFF = Problem(
    SHUTTING_DOWN,
    "The request was cut off; whether it took effect is not known.",
    headers={"Retry-After": "1"},
)
_BUSY = Problem(
    BUSY,
    "As many requests of this kind as can be taken are under way.",
    headers={"Retry-After": "1"},
)
_ADMIN = ("/admin/", "/api/admin/")
_WRITES = ("/api/v1/events/", "/api/v1/quotes")
_FAILED = 400
_QUIET_ROUTES = frozenset(["/health", "/health/live", "/health/ready", "/metrics"])
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RequestEdge:
    """Gives each request its id and mode, and each answer the system's headers."""

    def __init__(self, app: ASGIApp, parts: ApiDependencies, prices: PriceFastPath) -> None:
        self._app = app
        self._parts = parts
        self._system = SystemHeaders(parts)
        self._prices = prices
        self._writes = Bulkhead("writes", parts.config.writes_in_flight)
        self._admin = Bulkhead("admin", parts.config.admin_in_flight)
        for bulkhead in (self._writes, self._admin, parts.ladder.bulkhead):
            parts.metrics.bulkheads.watch(bulkhead)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(self._parts, self._system, scope, send)
        try:
            zone = self._prices.match(scope, exchange.given)
            if zone is None:
                await self._pass_on(exchange, receive)
            else:
                exchange.route = PRICE_PATH
                price = await self._prices.reader.read(zone, exchange.policy)
                answer = to_response(price, exchange.if_none_match)
                if not exchange.write(answer):
                    await LinesResponse(*answer)(exchange.scope, receive, exchange.send)
        except asyncio.CancelledError:
            if exchange.status is not None or not self._parts.drain.is_draining:
                raise
            # The server cuts off what takes too long to end; the client still gets a word.
            await exchange.fail(receive, _CUT_OFF)
        except ClientDisconnect:
            _log.debug("client went away")
        except Exception:  # the last border: whatever broke, the client gets a problem
            _log.exception("request broke", request_id=exchange.request_id)
            if exchange.status is not None:
                raise  # the answer had begun: cutting it short is all that is left
            await exchange.fail(receive, _BROKE)
        finally:
            exchange.finish()

    async def _pass_on(self, exchange: _Exchange, receive: Receive) -> None:
        bulkhead = self._bulkhead(exchange.scope)
        bound = structlog.contextvars.bind_contextvars(request_id=exchange.request_id)
        exchange.share()
        try:
            if bulkhead is None:
                await self._app(exchange.scope, receive, exchange.send)
                return
            try:
                with bulkhead:
                    await self._app(exchange.scope, receive, exchange.send)
            except BulkheadFullError:
                await exchange.fail(receive, _BUSY)
        finally:
            structlog.contextvars.reset_contextvars(**bound)

    def _bulkhead(self, scope: Scope) -> Bulkhead | None:
        """What bounds a request's kind: so that writes never take the readers' room."""
        path: str = scope["path"]
        if path.startswith(_ADMIN):
            return self._admin
        return self._writes if scope["method"] == "POST" and path.startswith(_WRITES) else None


class _Exchange:
    """One request and its answer."""

    __slots__ = (
        "_parts",
        "_send",
        "_started_s",
        "_system",
        "given",
        "method",
        "mode",
        "policy",
        "request_id",
        "route",
        "scope",
        "status",
    )

    def __init__(
        self, parts: ApiDependencies, system: SystemHeaders, scope: Scope, send: Send
    ) -> None:
        self._started_s = time.perf_counter()
        self._parts = parts
        self._system = system
        self._send = send
        self.scope = scope
        self.method: str = scope["method"]
        self.policy = parts.policy()
        self.mode = self.policy.mode
        self.status: int | None = None
        self.route: str | None = None
        self.given: dict[bytes, bytes] = dict(scope["headers"])
        """The request's headers; of several of one name the last."""
        self.request_id = _request_id(self.given.get(b"x-request-id"))

    @property
    def if_none_match(self) -> str:
        """The tags that the client holds, of all headers of this name."""
        if b"if-none-match" not in self.given:
            return ""
        return ", ".join(RequestHeaders(scope=self.scope).getlist("if-none-match"))

    def share(self) -> None:
        """Tell the application what the edge knows."""
        state = self.scope.setdefault("state", {})
        state["request_id"] = self.request_id
        state["mode"] = self.mode
        state["policy"] = self.policy
        self._system.lines(self.mode)
        state["degraded_services"] = self._system.degraded_services
        state["degraded_mode"] = self._system.is_degraded
        if self.method == "HEAD":
            # Answered as a GET; the server leaves the body out.
            self.scope = {**self.scope, "method": "GET"}

    def write(self, answer: PriceResponse) -> bool:
        """Write an answer in one piece; False: nothing was done, this is no case for it."""
        # Asked only now: a drain may have begun, or the client have gone, while a store was read.
        cycle = None if self._parts.drain.is_draining else raw_writable(self._send)
        if cycle is None:
            return False
        self.status, lines, content = answer
        write_raw(cycle, self.status, content, lines, self.system_lines())
        return True

    def system_lines(self) -> bytes:
        return self._system.lines(self.mode) + b"x-request-id: %b\r\n" % self.request_id.encode()

    async def send(self, message: Message) -> None:
        """Send what the application answers, with the system's headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message["headers"], *headers_of(self.system_lines())]
        await self._send(message)

    async def fail(self, receive: Receive, problem: Problem) -> None:
        self.share()
        response = respond(HTTPConnection(self.scope), problem)
        await response(self.scope, receive, self.send)

    def finish(self) -> None:
        route = self.route
        if route is None:
            route = getattr(self.scope.get("route"), "path", "unmatched").rstrip("/")
        status = _CLIENT_WENT_AWAY if self.status is None else self.status
        duration_s = time.perf_counter() - self._started_s
        self._parts.metrics.reads.request(route, self.method, status, duration_s)
        config = self._parts.config
        if not config.access_log:
            return
        if route in PRICE_ROUTES and not config.log_price_reads and status < _FAILED:
            return
        with structlog.contextvars.bound_contextvars(request_id=self.request_id):
            log = _log.debug if route in _QUIET_ROUTES else _log.info
            log(
                "request answered",
                method=self.method,
                path=self.scope["path"],
                route=route,
                status=status,
                duration_ms=round(duration_s * 1000, 2),
            )


def _request_id(given: bytes | None) -> str:
    """The client's own id, if it can be told and logged without harm; else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return new_event_id()


class BodyLimit:
    """Refuses a body above the limit with 413, by its declared length or as it comes in."""

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = RequestHeaders(scope=scope).get("content-length", "")
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
