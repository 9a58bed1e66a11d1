"""The codec on arbitrary events and on arbitrary bytes."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st

from streaming.errors import InvalidMessage
from streaming.events.codec import MAX_ATTRIBUTE_CHARS, WireRecord, decode, encode
from streaming.events.event_types import (
    AUDIT_RECORDED,
    DRIVER_STATUS,
    MODE_CHANGED,
    RIDE_REQUEST,
    ZONE_PRICE,
    Event,
    rfc3339,
)
from tests.support.kafka_log import ride_request

LATEST_MS = 253_402_300_799_999
attributes = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    min_size=1,
    max_size=MAX_ATTRIBUTE_CHARS,
)
ids = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=64
)
times_ms = st.integers(0, LATEST_MS)
moments = times_ms.map(rfc3339)
counts = st.integers(0, 2**53)
numbers = st.floats(allow_nan=False, allow_infinity=False)
optional_place = {
    "zone_id": ids,
    "lat": st.floats(-90, 90),
    "lon": st.floats(-180, 180),
}
texts = st.text(st.characters(exclude_categories=["Cs"]))
objects = st.dictionaries(texts, texts | counts, max_size=3)
payloads = {
    MODE_CHANGED: st.fixed_dictionaries(
        {
            "instance": ids,
            **dict.fromkeys(("kind", "from", "to", "mode"), texts),
            "causes": st.lists(objects, max_size=3),
            "inputs": objects,
            **dict.fromkeys(("since", "occurred_at"), moments),
        },
        optional={"override": st.none() | objects},
    ),
    AUDIT_RECORDED: st.fixed_dictionaries(
        {
            "instance": ids,
            **dict.fromkeys(("actor", "action", "target"), texts),
            "occurred_at": moments,
        },
        optional={
            **dict.fromkeys(("before", "after"), st.none() | objects),
            **dict.fromkeys(("reason", "request_id"), st.none() | texts),
        },
    ),
    RIDE_REQUEST: st.fixed_dictionaries(
        {"request_id": ids, "city_id": ids, "occurred_at": moments},
        optional={**optional_place, "rider_id": ids, "product": ids},
    ),
    DRIVER_STATUS: st.fixed_dictionaries(
        {"driver_id": ids, "city_id": ids, "available": st.booleans(), "occurred_at": moments},
        optional=optional_place,
    ),
    ZONE_PRICE: st.fixed_dictionaries(
        {
            **dict.fromkeys(("zone_id", "city_id"), ids),
            **dict.fromkeys(("multiplier", "raw_multiplier", "price", "confidence"), numbers),
            **dict.fromkeys(("demand_count", "supply_count", "version"), counts),
            **dict.fromkeys(("window_start", "window_end"), moments),
            "currency": st.text(st.characters(exclude_categories=["Cs"])),
            "policy_version": st.text(st.characters(exclude_categories=["Cs"])),
            "reasons": st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
        }
    ),
}
hex_digits = st.text("0123456789abcdef", min_size=16, max_size=16).filter(
    lambda text: set(text) != {"0"}
)
traceparents = st.builds("00-{0}{1}-{1}-01".format, hex_digits, hex_digits)


@st.composite
def events(draw: st.DrawFn) -> Event:
    event_type = draw(st.sampled_from(sorted(payloads)))
    return Event(
        id=draw(attributes),
        type=event_type,
        source=draw(attributes),
        time_ms=draw(times_ms),
        key=draw(attributes),
        subject=draw(st.none() | attributes),
        data=draw(payloads[event_type]),
        traceparent=draw(st.none() | traceparents),
    )


@given(events())
def test_event_survives_the_wire(event):
    assert decode(encode(event)).event == event


GOOD = encode(ride_request())
names = st.sampled_from([name for name, _ in GOOD.headers] + ["traceparent", "other"])
headers = st.tuples(names, st.none() | st.binary(max_size=300) | attributes.map(str.encode))


@given(
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(headers).map(tuple),
)
def test_arbitrary_record_is_read_or_named_invalid(key, value, headers):
    read_or_refused(WireRecord(key, value, headers))


@given(replaced=headers, value=st.sampled_from([GOOD.value, b"{}", b"[]", None]))
@example(replaced=("ce_time", b"10000-01-01T00:00:00Z"), value=GOOD.value)
@example(replaced=("ce_time", b"2026-W01-1T00:00Z"), value=GOOD.value)
def test_good_record_with_one_strange_header_is_read_or_named_invalid(replaced, value):
    read_or_refused(replace(GOOD, value=value, headers=(replaced, *GOOD.headers)))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
fields = st.sampled_from(["request_id", "city_id", "zone_id", "lat", "lon", "occurred_at", "x"])


@given(data=st.dictionaries(fields, json_values))
def test_arbitrary_payload_is_written_and_read_or_named_invalid(data):
    event = replace(ride_request(), data=data)
    try:
        record = encode(event)
    except InvalidMessage:
        return
    read_or_refused(record)


def read_or_refused(record: WireRecord) -> None:
    """Anything but `InvalidMessage` fails the test."""
    with contextlib.suppress(InvalidMessage):
        decode(record)
