"""Asks the service how many acknowledged events still wait on its disk for Kafka."""

from __future__ import annotations

from typing import Final

import httpx2

_PENDING: Final = 'spool_events{state="pending"} '
_ANSWER_WITHIN_S: Final = 2.0


async def waiting_on_disk(client: httpx2.AsyncClient) -> int:
    """Events in the spool; 0 where the service does not say."""
    try:
        response = await client.get("/metrics", timeout=_ANSWER_WITHIN_S)
    except httpx2.TransportError:
        return 0
    for line in response.text.splitlines():
        if line.startswith(_PENDING):
            return int(float(line.removeprefix(_PENDING)))
    return 0
