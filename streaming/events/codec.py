"""Events on the wire: CloudEvents 1.0, Kafka protocol binding, binary mode. Pure.

Attributes travel as `ce_*` headers, the payload as a JSON object in the value. A type's last
part is its version: `equilibrium.ride_request.v1`. A reader takes every version up to the one
it knows and lifts older payloads step by step; it refuses newer ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from streaming.errors import InvalidMessage, Reason
from streaming.events.event_types import (
    AuditRecordedV1,
    DriverStatusV1,
    Event,
    ModeChangedV1,
    RideRequestV1,
    ZonePriceV1,
    rfc3339,
    to_ms,
)
from streaming.events.trace import TRACEPARENT, is_valid

Header = tuple[str, bytes | None]
Payload = RideRequestV1 | DriverStatusV1 | ZonePriceV1 | ModeChangedV1 | AuditRecordedV1
Upcast = Callable[[dict[str, Any]], dict[str, Any]]

MAX_VALUE_BYTES = 1_000_000
"""A broker's default limit for a batch is 1,048,588 bytes: the rest is for key and headers."""
MAX_ATTRIBUTE_CHARS = 256
SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"
_TYPE_PATTERN = re.compile(r"(?P<family>.+)\.v(?P<version>[1-9][0-9]{0,4})", re.DOTALL)
_LATEST_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z, the end of RFC 3339


@dataclass(frozen=True, slots=True)
class WireRecord:
    """What goes into Kafka."""

    key: bytes | None
    value: bytes | None
    headers: tuple[Header, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of content, without Kafka's framing."""
        parts = [self.key, self.value, *(value for _, value in self.headers)]
        return sum(len(part) for part in parts if part) + sum(len(name) for name, _ in self.headers)


class Readable(Protocol):
    """A record with its raw bytes; `WireRecord` and `ConsumedRecord` are."""

    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[Header]: ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """An event and its payload in the newest form that this release knows."""

    event: Event
    """As it was sent: `type` and `data` keep their version."""
    payload: Payload


@dataclass(frozen=True, slots=True)
class Family:
    """A type without its version: the newest model, and the way up to it."""

    version: int
    model: type[Payload]
    upcasts: Mapping[int, Upcast] = field(default_factory=dict)
    """By version: makes a payload of the next one."""


FAMILIES: Mapping[str, Family] = {
    "equilibrium.ride_request": Family(1, RideRequestV1),
    "equilibrium.driver_status": Family(1, DriverStatusV1),
    "equilibrium.zone_price": Family(1, ZonePriceV1),
    "equilibrium.mode_changed": Family(1, ModeChangedV1),
    "equilibrium.audit_recorded": Family(1, AuditRecordedV1),
}


def encode(event: Event) -> WireRecord:
    """The record of an event.

    Raises:
        InvalidMessage: the event has a type that nobody could read, an attribute that is empty,
            too long or holds a NUL, a payload that JSON cannot hold, or is too large.
    """
    _family(event.type, FAMILIES)
    headers: list[Header] = [
        ("ce_specversion", SPEC_VERSION.encode()),
        ("ce_id", _attribute_bytes("id", event.id)),
        ("ce_type", _attribute_bytes("type", event.type)),
        ("ce_source", _attribute_bytes("source", event.source)),
        ("ce_time", rfc3339(_in_range(event.time_ms)).encode()),
        ("content-type", CONTENT_TYPE.encode()),
    ]
    if event.subject is not None:
        headers.append(("ce_subject", _attribute_bytes("subject", event.subject)))
    if event.traceparent is not None and is_valid(event.traceparent):
        headers.append((TRACEPARENT, event.traceparent.encode()))
    return WireRecord(_attribute_bytes("key", event.key), _json(event.data), tuple(headers))


def decode(record: Readable, *, families: Mapping[str, Family] = FAMILIES) -> Decoded:
    """The event in a record.

    `ce_time` is the event's time; without it the payload's own time is. Of headers that come
    twice the first one counts; headers and fields that are not known are ignored.

    Raises:
        InvalidMessage: the record is not such an event; nothing else is raised, whatever the
            bytes are.
    """
    if record.key is None and record.value is None and not record.headers:
        raise InvalidMessage("unparsable", "nothing of the record can be read")
    headers = _first_of_each(record.headers)
    if _required(headers, "ce_specversion") != SPEC_VERSION:
        raise InvalidMessage("bad_attribute", "ce_specversion is not 1.0")
    event_id = _required(headers, "ce_id")
    event_type = _required(headers, "ce_type")
    version, family = _family(event_type, families)
    data = _object(record.value)
    payload = _payload(data, record.value, version, family)
    time = _optional(headers, "ce_time")
    event = Event(
        id=event_id,
        type=event_type,
        source=_optional(headers, "ce_source") or "",
        time_ms=_in_range(_own_time_ms(payload) if time is None else _time_ms(time)),
        key=_key(record.key),
        subject=_optional(headers, "ce_subject"),
        data=data,
        traceparent=_traceparent(headers),
    )
    return Decoded(event, payload)


def _family(event_type: str, families: Mapping[str, Family]) -> tuple[int, Family]:
    parts = _TYPE_PATTERN.fullmatch(event_type)
    family = None if parts is None else families.get(parts["family"])
    if parts is None or family is None:
        raise InvalidMessage("unknown_type", repr(event_type))
    version = int(parts["version"])
    if version > family.version:
        raise InvalidMessage("newer_version", f"{event_type!r}, known up to v{family.version}")
    if any(step not in family.upcasts for step in range(version, family.version)):
        raise InvalidMessage("unknown_type", f"{event_type!r} cannot be lifted")
    return version, family


def _payload(data: dict[str, Any], value: bytes | None, version: int, family: Family) -> Payload:
    for step in range(version, family.version):
        data = family.upcasts[step](data)
        value = None
    try:
        return family.model.model_validate_json(value or orjson.dumps(data), strict=True)
    except ValidationError as error:
        raise InvalidMessage("bad_payload", _first_fault(error)) from None


def _first_fault(error: ValidationError) -> str:
    """Where and what, without the value: payloads hold personal data."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in fault["loc"])
    return f"{where or 'payload'}: {fault['msg']} ({error.error_count()} in all)"


def _object(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise InvalidMessage("not_json", "the record has no value")
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidMessage("too_large", f"{len(value)} bytes, at most {MAX_VALUE_BYTES}")
    try:
        data = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage("not_json", f"at byte {error.pos}: {error.msg}") from None
    if not isinstance(data, dict):
        raise InvalidMessage("not_an_object", f"a JSON {type(data).__name__}")
    return data


def _json(data: Mapping[str, Any]) -> bytes:
    try:
        value = orjson.dumps(dict(data))
    except TypeError as error:
        raise InvalidMessage("bad_payload", str(error)) from None
    if len(value) > MAX_VALUE_BYTES:
        raise InvalidMessage("too_large", f"{len(value)} bytes, at most {MAX_VALUE_BYTES}")
    return value


def _first_of_each(headers: Sequence[Header]) -> dict[str, bytes]:
    first: dict[str, bytes] = {}
    for name, value in headers:
        if value is not None:
            first.setdefault(name, value)
    return first


def _required(headers: Mapping[str, bytes], name: str) -> str:
    value = _optional(headers, name)
    if value is None:
        raise InvalidMessage("missing_attribute", name)
    return value


def _optional(headers: Mapping[str, bytes], name: str) -> str | None:
    raw = headers.get(name)
    return None if raw is None else _text(name, raw)


def _text(name: str, raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidMessage("bad_attribute", f"{name} is not UTF-8") from None
    _check_attribute(name, text)
    return text


def _attribute_bytes(name: str, text: str) -> bytes:
    _check_attribute(name, text)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidMessage("bad_attribute", f"{name} is not text") from None


def _check_attribute(name: str, text: str) -> None:
    fault: str | None = None
    reason: Reason = "bad_attribute"
    if not text:
        reason, fault = "missing_attribute", "is empty"
    elif len(text) > MAX_ATTRIBUTE_CHARS:
        fault = f"has {len(text)} characters, at most {MAX_ATTRIBUTE_CHARS}"
    elif "\0" in text:
        fault = "holds a NUL"
    if fault is not None:
        raise InvalidMessage(reason, f"{name} {fault}")


def _key(raw: bytes | None) -> str:
    if raw is None:
        raise InvalidMessage("missing_attribute", "the record has no key")
    return _text("key", raw)


def _traceparent(headers: Mapping[str, bytes]) -> str | None:
    """The trace context where it is one: a broken one costs the trace, not the event."""
    text = headers.get(TRACEPARENT, b"").decode("ascii", "replace")
    return text if text and is_valid(text) else None


def _time_ms(text: str) -> int:
    try:
        return to_ms(datetime.fromisoformat(text.upper()))
    except (ValueError, TypeError, OverflowError):
        raise InvalidMessage("bad_attribute", "ce_time is not an RFC 3339 time") from None


def _own_time_ms(payload: Payload) -> int:
    return to_ms(payload.window_end if isinstance(payload, ZonePriceV1) else payload.occurred_at)


def _in_range(time_ms: int) -> int:
    if not 0 <= time_ms <= _LATEST_MS:
        raise InvalidMessage("bad_attribute", f"the time, {time_ms} ms, is out of range")
    return time_ms
