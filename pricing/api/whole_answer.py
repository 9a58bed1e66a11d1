"""Writes an answer in one piece where the server is uvicorn, past its two ASGI messages.

uvicorn looks at every header of every answer with two regular expressions, which for our dozen
costs more than finding the price. Ours are made here and hold nothing of a client's but the
request id, which is checked. Whatever is not the ordinary case goes the ordinary way.
"""

from __future__ import annotations

from starlette.types import Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

Headers = list[tuple[bytes, bytes]]


def write_whole(send: Send, status: int, headers: Headers, content: bytes) -> bool:
    """Write an answer whose headers are all there, its length too; False: nothing was written."""
    cycle = getattr(send, "__self__", None)
    if type(cycle) is not RequestResponseCycle or not _is_ordinary(cycle):
        return False
    head = b"".join([b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)])
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[status], head, content))
    cycle.message_event.set()
    cycle.on_response()
    return True


def _is_ordinary(cycle: RequestResponseCycle) -> bool:
    return (
        cycle.keep_alive
        and not cycle.response_started
        and not cycle.disconnected
        and not cycle.flow.write_paused
        and not cycle.access_log
        and cycle.scope["method"] == "GET"
    )
