"""Configurations refuse values that cannot work, and show them."""

from __future__ import annotations

import pytest

from streaming.config import KafkaConfig
from streaming.consuming.records import ReaderTiming
from streaming.topics import all_topics, dlq_of, full_name


@pytest.mark.parametrize(
    "fields",
    [
        {"heartbeat_interval_ms": 0},
        {"heartbeat_interval_ms": 4_000},
        {"session_timeout_ms": 100},
        {"max_poll_interval_ms": 0},
        {"max_records": 0},
    ],
    ids=str,
)
def test_timing_out_of_range_is_refused(fields):
    name, value = next(iter(fields.items()))
    with pytest.raises(ValueError, match=f"{name}={value}"):
        ReaderTiming(**fields)


@pytest.mark.parametrize("wait_ms", [0, 10_001])
def test_fetch_wait_out_of_range_is_refused(wait_ms):
    with pytest.raises(ValueError, match=f"fetch_max_wait_ms={wait_ms}"):
        KafkaConfig(fetch_max_wait_ms=wait_ms)


def test_topics_carry_the_prefix_and_the_layout():
    config = KafkaConfig(topic_prefix="p.", partitions=3, replication=2)
    topics = {facts.name: facts for facts in all_topics(config)}
    assert set(topics) == {
        "p.ride-requests",
        "p.ride-requests.dlq",
        "p.driver-status",
        "p.driver-status.dlq",
        "p.zone-prices",
        "p.zone-prices.dlq",
        "p.system-modes",
        "p.system-modes.dlq",
        "p.audit",
        "p.audit.dlq",
    }
    assert {(facts.partitions, facts.replication) for facts in topics.values()} == {(3, 2)}
    assert topics["p.zone-prices"].settings["cleanup.policy"] == "compact"


def test_every_topic_is_stamped_on_append():
    for facts in all_topics(KafkaConfig()):
        assert facts.settings["message.timestamp.type"] == "LogAppendTime"


def test_dead_letter_topic_is_named_after_its_topic():
    assert dlq_of(full_name(KafkaConfig(), "ride-requests")) == "equilibrium.ride-requests.dlq"
