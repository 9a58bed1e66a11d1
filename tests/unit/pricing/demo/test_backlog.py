from __future__ import annotations

import httpx2
import pytest

from pricing.demo.backlog import waiting_on_disk

METRICS = """\
# TYPE spool_events gauge
spool_events{state="pending"} 1943.0
spool_bytes 12.0
"""


async def _asked(answer: httpx2.Response | httpx2.TransportError) -> int:
    def respond(_: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, httpx2.TransportError):
            raise answer
        return answer

    transport = httpx2.MockTransport(respond)
    async with httpx2.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
        return await waiting_on_disk(client)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx2.Response(200, text=METRICS), 1_943),
        (httpx2.Response(200, text="spool_bytes 12.0\n"), 0),
        (httpx2.Response(404, text="nothing here"), 0),
        (httpx2.ConnectError("refused"), 0),
    ],
)
async def test_waiting_on_disk_is_what_the_service_says(
    answer: httpx2.Response | httpx2.TransportError, expected: int
):
    assert await _asked(answer) == expected
