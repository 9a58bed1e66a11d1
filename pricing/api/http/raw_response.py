"""Two writers of an answer whose header lines are made: in one piece past ASGI, or Starlette's.

uvicorn looks at every header of every answer with two regular expressions, which for our dozen
costs more than finding the price. Ours are made here and hold nothing of a client's but the
request id, which is checked. Where the server is another, or the case is not the ordinary one,
Starlette's `Response` writes the same lines.
"""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response
from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Headers = Iterable[tuple[bytes, bytes]]


def lines_of(headers: Headers) -> bytes:
    """Headers as they go over the wire."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def headers_of(lines: bytes) -> list[tuple[bytes, bytes]]:
    """Header lines one by one, as ASGI wants them."""
    return [
        (name, value) for line in lines.splitlines() for name, _, value in [line.partition(b": ")]
    ]


class LinesResponse(Response):
    """Starlette's answer with these header lines, which lack nothing."""

    def __init__(self, status: int, lines: bytes, content: bytes) -> None:
        # Not the base's: it would make header lines of its own.
        self.status_code, self.body, self.background = status, content, None
        self.raw_headers = headers_of(lines)


def raw_writable(send: Send) -> RequestResponseCycle | None:
    """The server's side of a request, if its answer may be written in one piece."""
    cycle = getattr(send, "__self__", None)
    is_ordinary = (
        type(cycle) is RequestResponseCycle
        and cycle.keep_alive
        and not cycle.response_started
        and not cycle.disconnected
        and not cycle.flow.write_paused
        and not cycle.access_log
        and cycle.scope["method"] == "GET"
    )
    return cycle if is_ordinary else None


def write_raw(cycle: RequestResponseCycle, status: int, content: bytes, *lines: bytes) -> None:
    """Write an answer in one piece: its header lines, the length among them, and its body."""
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    head = STATUS_LINE[status] + lines_of(cycle.default_headers)
    cycle.transport.write(b"".join((head, *lines, b"\r\n", content)))
    cycle.message_event.set()
    cycle.on_response()
