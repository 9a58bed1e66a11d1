"""The AsyncAPI document names what there is; that it is current is tested with the other pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streaming.asyncapi import document
from streaming.config import KafkaConfig
from streaming.events.codec import FAMILIES
from streaming.topics import all_topics

DOCS = Path(__file__).parents[3] / "docs"
DOCUMENT = document("1.2.3")


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for one in node.values():
            yield from _references(one)
    elif isinstance(node, list):
        for one in node:
            yield from _references(one)


def test_every_topic_is_a_channel_and_every_channel_a_topic():
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    assert sorted(addresses) == sorted(facts.name for facts in all_topics(KafkaConfig()))


def test_every_event_type_travels_on_a_channel():
    types = {name for channel in DOCUMENT["channels"].values() for name in channel["messages"]}
    assert types == {f"{name}.v{family.version}" for name, family in FAMILIES.items()}


def test_every_reference_leads_somewhere():
    for reference in _references(DOCUMENT):
        if not reference.startswith("#/"):
            assert (DOCS / reference).is_file(), reference
            continue
        node = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
