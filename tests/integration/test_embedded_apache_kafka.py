"""A real Apache Kafka: its data outlives faults and restarts, and it is fetched once."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pricing.embedded import ApacheKafka, EmbeddedStack, StackConfig
from pricing.embedded.apache_kafka import with_archive
from pricing.embedded.kafka_home import KafkaHome, kafka_home
from pricing.errors import StartupError
from tests.support import servers

FAKE_MAVEN = """#!/bin/sh
echo run >> {calls}
for word; do case "$word" in -DoutputDirectory=*) to="${{word#*=}}";; esac; done
mkdir -p "$to" && cp {jars}/*.jar "$to"
"""


pytestmark = pytest.mark.skipif(
    not (servers.has_apache_kafka() or servers.in_ci()),
    reason="needs Apache Kafka: install Java 17 or newer and Maven",
)


async def create_topic(bootstrap_servers: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


async def produce(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def consume(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        await consumer.seek_to_beginning()
        async with asyncio.timeout(60):
            return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.parametrize("fault", ["kill", "stop"])
async def test_broker_comes_back_at_its_address_with_its_topics(kafka_to_hurt, topic_prefix, fault):
    broker, topic = kafka_to_hurt, f"{topic_prefix}kept"
    address = broker.bootstrap_servers
    await create_topic(address, topic)
    await produce(address, topic, b"before")
    await getattr(broker, fault)()
    assert broker.pid is None
    await broker.start()
    assert broker.bootstrap_servers == address
    await produce(address, topic, b"after")
    assert await consume(address, topic, 2) == [b"before", b"after"]


async def test_frozen_broker_is_silent_until_thawed(kafka_to_hurt, topic_prefix):
    address, topic = kafka_to_hurt.bootstrap_servers, f"{topic_prefix}kept"
    await create_topic(address, topic)
    kafka_to_hurt.freeze()
    producing = asyncio.create_task(produce(address, topic, b"late"))
    done, _ = await asyncio.wait([producing], timeout=0.3)
    assert not done
    kafka_to_hurt.thaw()
    async with asyncio.timeout(60):
        await producing


async def test_topics_survive_a_restart_of_the_stack_on_other_ports(prepared_directory):
    config = StackConfig(data_dir=prepared_directory, kafka="apache")
    async with EmbeddedStack(config) as stack:
        assert stack.environment()["EQUILIBRIUM_KAFKA_IDEMPOTENCE"] == "true"
        await create_topic(stack.kafka.bootstrap_servers, "kept")
        await produce(stack.kafka.bootstrap_servers, "kept", b"kept")
        first = stack.kafka.bootstrap_servers
    async with EmbeddedStack(config) as stack:
        assert stack.kafka.bootstrap_servers != first
        assert await consume(stack.kafka.bootstrap_servers, "kept", 1) == [b"kept"]


async def ready_home() -> KafkaHome:
    """The user's cached Kafka."""
    return await kafka_home()


def put_fake_maven(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    maven = directory / "mvn"
    maven.write_text(script)
    maven.chmod(0o755)
    java = Path(shutil.which("java") or "")
    (directory / "java").symlink_to(java.resolve())
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


RESOLVE = """
import asyncio, sys
from pathlib import Path
from pricing.embedded.kafka_home import kafka_home
home = asyncio.run(kafka_home(Path(sys.argv[1])))
print(len(list(home.libs.iterdir())), home.template.exists())
"""


async def test_two_processes_fetch_once(own_directory, tmp_path, monkeypatch):
    home = await ready_home()
    calls = tmp_path / "calls"
    put_fake_maven(tmp_path, FAKE_MAVEN.format(calls=calls, jars=home.libs), monkeypatch)
    both = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", RESOLVE, str(own_directory / "cache")),
            cwd=Path(__file__).parents[2],
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]
    async with asyncio.timeout(60):
        said = [(await process.communicate())[0].split() for process in both]
    jars = len(list(home.libs.iterdir()))
    assert said == [[str(jars).encode(), b"True"]] * 2
    assert calls.read_text() == "run\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("#!/bin/sh\necho '[ERROR] no route to the repository'; exit 1\n", "no route"),
        ("#!/bin/sh\nexec sleep 600\n", "not done within 0.2 s"),
    ],
)
async def test_maven_that_fails_is_told_in_one_line(
    own_directory, tmp_path, monkeypatch, script, message
):
    put_fake_maven(tmp_path, script, monkeypatch)
    monkeypatch.setattr("pricing.embedded.kafka_home._MAVEN_WITHIN_S", 0.2)
    with pytest.raises(StartupError, match=f"Maven failed: .*{message}") as caught:
        await kafka_home(own_directory / "cache")
    assert "\n" not in str(caught.value)
    assert not (own_directory / "cache/kafka-4.3.1/libs").exists()


async def test_class_archive_is_recorded_once_and_used(own_directory, monkeypatch):
    cached = await ready_home()
    place = own_directory / "kafka-4.3.1"
    place.mkdir(mode=0o755)
    (place / "libs").symlink_to(cached.libs)
    home = KafkaHome(java=cached.java, libs=place / "libs", template=cached.template)
    told: list[str] = []
    recorded = await with_archive(home, on_progress=told.append)
    assert recorded == await with_archive(home, on_progress=told.append)
    assert len(told) == 1
    assert home.archive.stat().st_size > 10_000_000
    assert f"-XX:SharedArchiveFile={home.archive}" in recorded.archive_flags
    async with ApacheKafka(own_directory / "broker", home=recorded) as broker:
        assert "warning" not in broker.log.read_text().lower()
