"""Writes an answer in one piece where the server is uvicorn, past its two ASGI messages.

uvicorn looks at every header of every answer with two regular expressions, which for our dozen
costs more than finding the price. Ours are made here and hold nothing of a client's but the
request id, which is checked. Whatever is not the ordinary case goes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Iterable

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


def write_whole(cycle: RequestResponseCycle, status: int, *pieces: bytes) -> None:
    """Write an answer: its header lines, all of them and its length too, an empty one, its body."""
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join((STATUS_LINE[status], lines_of(cycle.default_headers), *pieces)))
    cycle.message_event.set()
    cycle.on_response()
