"""The wire form of an event, and every way in which a record is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from streaming.errors import InvalidMessage
from streaming.events.codec import (
    FAMILIES,
    MAX_VALUE_BYTES,
    Family,
    Header,
    WireRecord,
    decode,
    encode,
)
from streaming.events.event_types import RIDE_REQUEST, ZONE_PRICE, RideRequestV1
from tests.support.kafka_log import OCCURRED_MS, ride_request

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
FIXTURES = Path(__file__).with_name("fixtures")


def with_header(record: WireRecord, name: str, value: bytes | None) -> WireRecord:
    """The record with one header replaced, or taken away."""
    kept = tuple(header for header in record.headers if header[0] != name)
    added: tuple[Header, ...] = () if value is None else ((name, value),)
    return replace(record, headers=added + kept)


def with_data(record: WireRecord, **fields: object) -> WireRecord:
    assert record.value is not None
    return replace(record, value=orjson.dumps({**orjson.loads(record.value), **fields}))


def reason_of(record: WireRecord) -> str:
    with pytest.raises(InvalidMessage) as caught:
        decode(record)
    return caught.value.reason


def test_encode_writes_a_cloud_event_in_binary_mode():
    event = replace(ride_request(7), traceparent=TRACEPARENT)
    record = encode(event)
    assert record.key == b"nyc"
    assert orjson.loads(record.value or b"") == event.data
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": event.id.encode(),
        "ce_type": RIDE_REQUEST.encode(),
        "ce_source": b"/tests",
        "ce_time": b"2026-01-02T03:04:05.678Z",
        "ce_subject": b"zone-1",
        "content-type": b"application/json",
        "traceparent": TRACEPARENT.encode(),
    }


def test_decode_of_an_encoded_event_gives_it_back():
    event = replace(ride_request(7), traceparent=TRACEPARENT)
    decoded = decode(encode(event))
    assert decoded.event == event
    assert isinstance(decoded.payload, RideRequestV1)
    assert decoded.payload.request_id == "7"


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*.json")), ids=lambda path: path.stem)
def test_payload_of_an_older_release_still_parses(path):
    record = replace(encode(ride_request()), value=path.read_bytes())
    record = with_header(record, "ce_type", f"equilibrium.{path.stem}".encode())
    assert decode(with_header(record, "ce_time", None)).event.data["city_id"] == "nyc"


def test_every_family_has_a_fixture_of_each_version():
    wanted = {
        f"{name.removeprefix('equilibrium.')}.v{version}"
        for name, family in FAMILIES.items()
        for version in range(1, family.version + 1)
    }
    assert {path.stem for path in FIXTURES.glob("*.json")} == wanted


def test_decode_prefers_ce_time_to_the_payload():
    record = with_header(encode(ride_request()), "ce_time", b"2026-01-02T03:04:06Z")
    assert decode(record).event.time_ms == OCCURRED_MS + 322


def test_decode_without_ce_time_takes_the_payloads_time():
    record = with_header(encode(ride_request()), "ce_time", None)
    assert decode(record).event.time_ms == OCCURRED_MS


def test_decode_of_a_price_without_ce_time_takes_the_windows_end():
    value = (FIXTURES / "zone_price.v1.json").read_bytes()
    record = replace(encode(ride_request()), value=value)
    record = with_header(with_header(record, "ce_time", None), "ce_type", ZONE_PRICE.encode())
    assert decode(record).event.time_ms == 1_767_323_045_000


def test_decode_ignores_unknown_fields_and_headers():
    record = with_header(with_data(encode(ride_request()), colour="red"), "x-other", b"\xff")
    assert decode(record).event.data["colour"] == "red"


def test_decode_of_a_header_twice_takes_the_first():
    record = encode(ride_request())
    twice = replace(record, headers=(*record.headers, ("ce_id", b"second"), ("ce_id", b"\xff")))
    assert decode(twice) == decode(record)


def test_decode_without_source_and_subject_is_lenient():
    record = with_header(with_header(encode(ride_request()), "ce_source", None), "ce_subject", None)
    event = decode(record).event
    assert (event.source, event.subject) == ("", None)


@pytest.mark.parametrize("text", [b"00-nonsense", b"\xff\xfe", b"", b"x" * 10_000])
def test_decode_of_a_broken_traceparent_loses_the_trace_alone(text):
    record = with_header(encode(ride_request()), "traceparent", text)
    assert decode(record).event.traceparent is None


@pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_specversion"])
@pytest.mark.parametrize("value", [None, b""])
def test_decode_without_a_required_attribute_names_it(name, value):
    record = with_header(encode(ride_request()), name, value)
    with pytest.raises(InvalidMessage, match=name) as caught:
        decode(record)
    assert caught.value.reason == "missing_attribute"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_id", b"a\0b"),
        ("ce_id", b"x" * 257),
        ("ce_id", b"\xff"),
        ("ce_type", b"\xff"),
        ("ce_source", b"\xff"),
        ("ce_subject", b"x" * 257),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-01-02T03:04:05"),
        ("ce_time", b"0001-01-01T00:00:00Z"),
        ("ce_time", b"9999-12-31T23:59:59-23:59"),
        ("ce_time", b"1767323045"),
    ],
)
def test_decode_of_a_bad_attribute_says_so(name, value):
    assert reason_of(with_header(encode(ride_request()), name, value)) == "bad_attribute"


@pytest.mark.parametrize(
    ("event_type", "reason"),
    [
        ("equilibrium.ride_request.v2", "newer_version"),
        ("equilibrium.ride_request.v99999", "newer_version"),
        ("equilibrium.ride_request.v0", "unknown_type"),
        ("equilibrium.ride_request.v01", "unknown_type"),
        ("equilibrium.ride_request", "unknown_type"),
        ("equilibrium.refund.v1", "unknown_type"),
        ("equilibrium.ride_request.v٣", "unknown_type"),
        ("\n.v1", "unknown_type"),
    ],
)
def test_decode_of_a_type_that_we_cannot_read_says_why(event_type, reason):
    record = with_header(encode(ride_request()), "ce_type", event_type.encode())
    assert reason_of(record) == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "not_json"),
        (b"", "not_json"),
        (b"{", "not_json"),
        (b'{"request_id": NaN}', "not_json"),
        (b'{"request_id": "\\ud800"}', "not_json"),
        (b"\xff", "not_json"),
        (b"[" * 5_000, "not_json"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"null", "not_an_object"),
        (b"{}", "bad_payload"),
        (b" " * (MAX_VALUE_BYTES + 1), "too_large"),
    ],
)
def test_decode_of_a_bad_value_says_so(value, reason):
    assert reason_of(replace(encode(ride_request()), value=value)) == reason


@pytest.mark.parametrize(
    "fields",
    [
        {"request_id": ""},
        {"request_id": "x" * 65},
        {"request_id": "a\0b"},
        {"request_id": 5},
        {"zone_id": "a\0b"},
        {"lat": 91},
        {"occurred_at": 1_767_323_045},
        {"occurred_at": "2026-01-02T03:04:05"},
        {"occurred_at": None},
    ],
    ids=str,
)
def test_decode_of_a_payload_that_does_not_fit_says_where(fields):
    with pytest.raises(InvalidMessage, match=next(iter(fields))) as caught:
        decode(with_data(encode(ride_request()), **fields))
    assert caught.value.reason == "bad_payload"


def test_detail_of_a_bad_payload_holds_no_value():
    with pytest.raises(InvalidMessage) as caught:
        decode(with_data(encode(ride_request()), rider_id=["jane@example.org"]))
    assert "jane" not in caught.value.detail


def test_detail_is_cut_at_200_characters():
    assert len(InvalidMessage("bad_payload", "x" * 1_000).detail) == 200


@pytest.mark.parametrize(
    ("key", "reason"), [(None, "missing_attribute"), (b"\xff", "bad_attribute")]
)
def test_decode_of_a_bad_key_says_so(key, reason):
    assert reason_of(replace(encode(ride_request()), key=key)) == reason


def test_decode_of_a_record_that_could_not_be_parsed_says_so():
    assert reason_of(WireRecord(None, None)) == "unparsable"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "equilibrium.refund.v1"}, "unknown_type"),
        ({"type": "equilibrium.ride_request.v2"}, "newer_version"),
        ({"id": ""}, "missing_attribute"),
        ({"id": "a\0"}, "bad_attribute"),
        ({"key": "x" * 257}, "bad_attribute"),
        ({"subject": "\ud800"}, "bad_attribute"),
        ({"time_ms": -1}, "bad_attribute"),
        ({"time_ms": 10**18}, "bad_attribute"),
        ({"data": {"set": {1}}}, "bad_payload"),
        ({"data": {"number": 2**70}}, "bad_payload"),
        ({"data": {"text": "\ud800"}}, "bad_payload"),
        ({"data": {"text": "x" * MAX_VALUE_BYTES}}, "too_large"),
    ],
    ids=str,
)
def test_encode_of_an_event_that_nobody_could_read_refuses(change, reason):
    with pytest.raises(InvalidMessage) as caught:
        encode(replace(ride_request(), **change))
    assert caught.value.reason == reason


def test_encode_of_a_broken_traceparent_leaves_it_out():
    record = encode(replace(ride_request(), traceparent="00-nonsense"))
    assert "traceparent" not in dict(record.headers)


def test_older_version_is_lifted_step_by_step():
    def from_1(data):
        return {**data, "request_id": data["id"]}

    def from_2(data):
        return {**data, "occurred_at": f"{data['occurred_at']}Z"}

    families = {"equilibrium.ride_request": Family(3, RideRequestV1, {1: from_1, 2: from_2})}
    value = {"id": "r", "city_id": "nyc", "occurred_at": "2026-01-02T03:04:05.678"}
    record = replace(encode(ride_request()), value=orjson.dumps(value))
    decoded = decode(record, families=families)
    assert decoded.payload.model_dump()["request_id"] == "r"
    assert decoded.event.data == value


def test_older_version_without_a_way_up_is_unknown():
    families = {"equilibrium.ride_request": Family(3, RideRequestV1, {1: dict})}
    with pytest.raises(InvalidMessage) as caught:
        decode(encode(ride_request()), families=families)
    assert caught.value.reason == "unknown_type"


def test_size_counts_key_value_and_headers():
    assert WireRecord(b"k", b"vv", (("name", b"x"), ("none", None))).size_bytes == 12
    assert WireRecord(None, None).size_bytes == 0
