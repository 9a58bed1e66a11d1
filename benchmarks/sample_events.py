"""Events that look like a city's, the same in every run."""

from __future__ import annotations

from collections.abc import Iterator

from streaming.events.event_types import RIDE_REQUEST, Event, new_event_id, rfc3339

_START_MS = 1_700_000_000_000


def ride_requests(number: int) -> Iterator[Event]:
    """So many ride requests, 100 ms apart, over 260 zones of one city."""
    for index in range(number):
        time_ms = _START_MS + 100 * index
        yield Event(
            id=new_event_id(),
            type=RIDE_REQUEST,
            source="/benchmarks",
            time_ms=time_ms,
            key="nyc",
            data={
                "request_id": f"request-{index}",
                "city_id": "nyc",
                "zone_id": str(index % 260 + 1),
                "rider_id": f"rider-{index % 97}",
                "occurred_at": rfc3339(time_ms),
            },
        )
