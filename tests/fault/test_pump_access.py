"""The pump against a broker that checks names, passwords and permissions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from pricing.embedded import ApacheKafka
from pricing.embedded.process import Program
from streaming.config import KafkaConfig
from streaming.topics import ensure_topics, full_name
from tests.support.kafka_log import ride_request
from tests.support.kafka_rules import (
    EVERYTHING,
    Operation,
    Permission,
    Rule,
    add_rules,
    remove_rules,
)
from tests.support.pumped import Pumped, ids_of, pumped, read_topic
from tests.support.servers import has_apache_kafka
from tests.support.waiting import until

RULES = """
sasl.enabled.mechanisms=PLAIN
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


class GuardedKafka(ApacheKafka):
    """PROXIED wants a name and a password; everything else may be done by everybody."""

    password = "right"

    def _program(self, ports: list[int]) -> Program:
        program = super()._program(ports)
        settings = self.directory / "server.properties"
        text = settings.read_text().replace("PROXIED:PLAINTEXT", "PROXIED:SASL_PLAINTEXT")
        account = (
            "listener.name.proxied.plain.sasl.jaas.config="
            "org.apache.kafka.common.security.plain.PlainLoginModule required "
            f'user_service="{self.password}";\n'
        )
        settings.write_text(text + RULES + account)
        return program


@pytest.fixture
async def guarded(own_directory: Path) -> AsyncIterator[GuardedKafka]:
    if not has_apache_kafka():
        pytest.skip("needs Apache Kafka: install Java 17 or newer and Maven")
    server = GuardedKafka(own_directory / "kafka")
    try:
        await server.start()
        await ensure_topics(KafkaConfig(bootstrap_servers=server.bootstrap_servers), timeout_s=20)
        yield server
    finally:
        await server.kill()


def config_for(server: GuardedKafka, **other: object) -> KafkaConfig:
    config = KafkaConfig(
        bootstrap_servers=f"127.0.0.1:{server.proxied_port}",
        request_timeout_ms=1_500,
        security_protocol="SASL_PLAINTEXT",
        sasl_username="service",
        sasl_password="right",
    )
    return replace(config, **other)  # type: ignore[arg-type] # a test's own fields


def alarms(path: Pumped) -> list[tuple[str, str, str]]:
    return [(alarm.kind, alarm.group, alarm.code) for alarm in path.pump.stats().alarms]


async def until_empty(path: Pumped, within_s: float = 60) -> None:
    await until(lambda: not path.spool.stats().records, "delivered", within_s)


async def test_revoked_permission_parks_the_topic_and_ends_when_granted(guarded, tmp_path):
    await add_rules(guarded.port, *EVERYTHING)
    rides = "equilibrium.ride-requests"
    async with pumped(config_for(guarded), tmp_path, wait_s=5) as path:
        (first,) = await path.publisher.publish("ride-requests", [ride_request(1)])
        assert first.status == "sent"
        deny = Rule(Operation.WRITE, rides, permission=Permission.DENY)
        await add_rules(guarded.port, deny)
        events = [ride_request(number) for number in range(2, 30)]
        await path.publishing(wait_s=0.1).publish("ride-requests", events)
        await until(lambda: ("parked", rides, "29") in alarms(path), "parked")
        (other,) = await path.publisher.publish("driver-status", [ride_request(99)])
        assert other.status == "sent"
        await remove_rules(guarded.port, deny)
        await until_empty(path)
        await until(lambda: not alarms(path), "the alarm's end")
        assert not path.box.letters()
    direct = KafkaConfig(bootstrap_servers=guarded.bootstrap_servers)
    log = ids_of(await read_topic(direct, full_name(direct, "ride-requests")))
    assert log == [first.event_id, *(event.id for event in events)]


async def test_wrong_password_is_told_as_such_at_the_start(guarded, tmp_path):
    config = config_for(guarded, sasl_password="wrong")
    async with pumped(config, tmp_path) as path:
        (receipt,) = await path.publisher.publish("ride-requests", [ride_request()])
        assert receipt.status == "buffered"
        await until(lambda: ("parked", "", "58") in alarms(path), "parked")


async def test_password_that_changes_while_running_is_told_as_such(guarded, tmp_path):
    await add_rules(guarded.port, *EVERYTHING)
    async with pumped(config_for(guarded), tmp_path, wait_s=5) as path:
        await path.publisher.publish("ride-requests", [ride_request()])
        guarded.password = "other"
        await guarded.kill()
        await guarded.start()
        await path.publishing(wait_s=0.1).publish("ride-requests", [ride_request()])
        await until(lambda: any(code == "58" for _, _, code in alarms(path)), "told")
        guarded.password = "right"
        await guarded.kill()
        await guarded.start()
        await until_empty(path, 30)


async def test_principal_without_any_permission_is_told_and_flows_once_it_has_some(
    guarded, tmp_path
):
    async with pumped(config_for(guarded), tmp_path) as path:
        await path.publisher.publish("ride-requests", [ride_request()])
        await until(lambda: alarms(path), "an alarm")
        assert {code for _, _, code in alarms(path)} <= {"29", "31"}
        await add_rules(guarded.port, *EVERYTHING)
        await until_empty(path, 30)
