"""Reading a record from Kafka: envelope, payload and checks, against parsing the JSON alone."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from benchmarks.benchmark import Case
from benchmarks.sample_events import ride_requests
from streaming.events.codec import decode, encode

_EVENTS = 500


class _Decode:
    name = "decode"
    what = (
        "A ride request from its record: headers into a CloudEvents envelope, the value checked "
        "against its model. The baseline parses the same value as JSON and looks at nothing."
    )
    unit = "event"

    def cases(self) -> Sequence[Case]:
        records = [encode(event) for event in ride_requests(_EVENTS)]
        values = [record.value or b"" for record in records]
        return [
            Case(
                label="orjson.loads",
                run=lambda: [orjson.loads(value) for value in values],
                operations=_EVENTS,
            ),
            Case(
                label="decode",
                run=lambda: [decode(record) for record in records],
                operations=_EVENTS,
            ),
        ]


BENCHMARK = _Decode()
