"""Making a record for Kafka: headers, value and checks, against writing the JSON alone."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from benchmarks.benchmark import Case
from benchmarks.sample_events import ride_requests
from streaming.events.codec import encode

_EVENTS = 500


class _Encode:
    name = "encode"
    what = (
        "The record of a ride request: CloudEvents headers and the JSON value, sizes checked. "
        "The baseline writes the same payload as JSON."
    )
    unit = "event"

    def cases(self) -> Sequence[Case]:
        events = list(ride_requests(_EVENTS))
        payloads = [dict(event.data) for event in events]
        return [
            Case(
                label="orjson.dumps",
                run=lambda: [orjson.dumps(payload) for payload in payloads],
                operations=_EVENTS,
            ),
            Case(
                label="encode",
                run=lambda: [encode(event) for event in events],
                operations=_EVENTS,
            ),
        ]


BENCHMARK = _Encode()
