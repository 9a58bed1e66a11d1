"""The topics and their events as an AsyncAPI 3 document, for those who read or write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from streaming.config import KafkaConfig
from streaming.events.codec import CONTENT_TYPE, FAMILIES, SPEC_VERSION
from streaming.topics import (
    AUDIT,
    DRIVER_STATUS,
    RIDE_REQUESTS,
    SYSTEM_MODES,
    TOPICS,
    ZONE_PRICES,
    all_topics,
    dlq_of,
    full_name,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Channel:
    topic: str
    """Without the prefix."""
    families: Sequence[str]
    key: str
    says: str
    service: Sequence[str]
    """What the service itself does with it: send, receive."""


_CHANNELS = (
    _Channel(
        topic=RIDE_REQUESTS,
        families=("equilibrium.ride_request",),
        key="city_id",
        says="Riders ask for rides. A message of this shape counts like a request over HTTP.",
        service=("send", "receive"),
    ),
    _Channel(
        topic=DRIVER_STATUS,
        families=("equilibrium.driver_status",),
        key="city_id",
        says="Drivers' heartbeats: where they are, and whether they are free.",
        service=("send", "receive"),
    ),
    _Channel(
        topic=ZONE_PRICES,
        families=("equilibrium.zone_price",),
        key="zone_id",
        says="The public price of each zone: on change, and once a minute. The newest `version` "
        "of a zone holds.",
        service=("send", "receive"),
    ),
    _Channel(
        topic=SYSTEM_MODES,
        families=("equilibrium.mode_changed",),
        key="instance",
        says="The system mode of each instance: each change with its causes, and a heartbeat.",
        service=("send", "receive"),
    ),
    _Channel(
        topic=AUDIT,
        families=("equilibrium.audit_recorded",),
        key="instance",
        says="What operators did.",
        service=("send", "receive"),
    ),
    *(
        _Channel(
            topic=dlq_of(topic),
            families=(),
            key="that of the original",
            says=f"What could not be read from `{topic}`, or what Kafka refused for good: the "
            "original bytes, with its place, error class and attempts in the headers.",
            service=("send",),
        )
        for topic in TOPICS
    ),
)
_HEADERS: Mapping[str, Any] = {
    "type": "object",
    "description": "CloudEvents 1.0, Kafka protocol binding, binary content mode.",
    "required": ["ce_specversion", "ce_id", "ce_type"],
    "properties": {
        "ce_specversion": {"const": SPEC_VERSION},
        "ce_id": {"type": "string", "description": "UUIDv7. A repeat carries the same one."},
        "ce_type": {"type": "string"},
        "ce_source": {"type": "string", "format": "uri-reference"},
        "ce_time": {"type": "string", "format": "date-time", "description": "When it happened."},
        "ce_subject": {"type": "string"},
        "traceparent": {"type": "string", "description": "W3C trace context."},
        "content-type": {"const": CONTENT_TYPE},
    },
}


def document(version: str) -> dict[str, Any]:
    """The document of a release, with the topics as they are named and set by default."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Equilibrium",
            "version": version,
            "description": "At least once, in order per key, also through an outage and its "
            "replay: drop repeats by `ce_id`. Fields that are not named may come; ignore them.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": {channel.topic: _channel(channel) for channel in _CHANNELS},
        "operations": {
            f"{action}-{channel.topic}": _operation(action, channel)
            for channel in _CHANNELS
            for action in channel.service
        },
        "components": {
            "messages": {_type_of(name): _message(name) for name in FAMILIES},
            "messageTraits": {"cloudEvent": {"contentType": CONTENT_TYPE, "headers": _HEADERS}},
        },
    }


def _channel(channel: _Channel) -> dict[str, Any]:
    config = KafkaConfig()
    name = full_name(config, channel.topic)
    facts = next(facts for facts in all_topics(config) if facts.name == name)
    types = [_type_of(family) for family in channel.families]
    return {
        "address": name,
        "description": f"{channel.says} Key: {channel.key}.",
        "messages": {one: {"$ref": f"#/components/messages/{one}"} for one in types},
        "bindings": {
            "kafka": {
                "topic": name,
                "partitions": facts.partitions,
                "replicas": facts.replication,
                "topicConfiguration": _topic_settings(facts.settings),
            }
        },
    }


def _topic_settings(settings: Mapping[str, str]) -> dict[str, Any]:
    """In the form of the binding: policies as a list, figures as numbers."""
    shown: dict[str, Any] = {}
    for key, value in settings.items():
        shown[key] = [value] if key == "cleanup.policy" else value
        if value.isdecimal():
            shown[key] = int(value)
    return shown


def _operation(action: str, channel: _Channel) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel.topic}"}}


def _message(family: str) -> dict[str, Any]:
    model = FAMILIES[family].model
    name = _type_of(family)
    return {
        "name": name,
        "summary": " ".join((model.__doc__ or "").split()),
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"schemas/{name}.json"},
        },
    }


def _type_of(family: str) -> str:
    return f"{family}.v{FAMILIES[family].version}"
