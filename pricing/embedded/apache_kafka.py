"""Apache Kafka 4.3.1, one KRaft node in one Java process. Its data survives restarts.

Listeners: DIRECT for clients, PROXIED for clients behind a fault proxy (it advertises the
proxy's port), CONTROLLER for the node itself. The settings are for one machine and short
faults, not for production: a session of 500 ms lets a killed broker come back at once, small
buffers keep it at 150 MB.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from pricing.embedded.directories import give_to_server, make_server_directory, write_private
from pricing.embedded.kafka_home import KafkaHome, Progress, escaped, filling, kafka_home
from pricing.embedded.ports import LOOPBACK
from pricing.embedded.process import Program
from pricing.embedded.server import Server, is_listening

_RECORDING_GRACE_S = 30.0
"""Java writes the class archive on its way out."""
_EXERCISE_WITHIN_S = 30.0
_LOG4J = """<Configuration status="ERROR"><Appenders><Console name="out">
<PatternLayout pattern="%d %p %c: %m%n"/></Console></Appenders>
<Loggers><Root level="WARN"><AppenderRef ref="out"/></Root></Loggers></Configuration>
"""


class ApacheKafka(Server):
    """One broker that is its own controller."""

    title: ClassVar[str] = "Apache Kafka"
    port_count: ClassVar[int] = 3
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    idempotence: ClassVar[bool] = True

    def __init__(
        self,
        directory: Path,
        *,
        home: KafkaHome | None = None,
        advertised_port: int | None = None,
        ready_within_s: float = 60.0,
        grace_s: float = 5.0,
        on_progress: Progress = lambda _: None,
    ) -> None:
        """`advertised_port` is what PROXIED tells its clients: the port of a proxy in front.

        Without `home`, the first start gets one from the user's cache.
        """
        super().__init__(directory, ready_within_s=ready_within_s, grace_s=grace_s)
        self._advertised_port = advertised_port
        self._on_progress = on_progress
        self._home = home

    def settings(self) -> dict[str, str]:
        """Settings of the service that this broker needs."""
        return {"EQUILIBRIUM_KAFKA_IDEMPOTENCE": "true"}

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of DIRECT."""
        return self.address

    @property
    def proxied_port(self) -> int:
        """Where PROXIED listens: the target of a proxy on the advertised port."""
        _ = self.port
        return self._ports[1]

    async def _prepare(self) -> None:
        if self._home is None:
            home = await kafka_home(on_progress=self._on_progress)
            self._home = await with_archive(home, on_progress=self._on_progress)
        self._lay_out(self._home.template)

    def _lay_out(self, template: Path) -> None:
        make_server_directory(self.directory / "tmp")
        write_private(self.directory / "log4j2.xml", _LOG4J)
        data = self.directory / "data"
        if data.exists():
            return
        fresh = self.directory / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(template, fresh)
        for path in (fresh, *fresh.iterdir()):
            path.chmod(0o700 if path.is_dir() else 0o600)
            give_to_server(path)
        fresh.rename(data)

    def _program(self, ports: list[int]) -> Program:
        home = self._home
        if home is None:
            raise RuntimeError("_prepare comes first")
        settings = self.directory / "server.properties"
        write_private(settings, server_properties(self.directory, ports, self._advertised_port))
        flags = (
            f"-Dlog4j2.configurationFile={self.directory / 'log4j2.xml'}",
            # Native libraries are unpacked there; a killed broker leaves them behind.
            f"-Djava.io.tmpdir={self.directory / 'tmp'}",
        )
        return self._describe(*home.command("kafka.Kafka", settings, flags=flags))

    async def _answers(self, ports: list[int]) -> bool:
        # The port opens only once the broker may serve: no need to ask more.
        return await is_listening(ports[0])


async def with_archive(home: KafkaHome, *, on_progress: Progress = lambda _: None) -> KafkaHome:
    """`home` with a class archive, which halves the time of a start; made where there is none.

    Where Java cannot make one, an empty file says so, and brokers start without.
    """
    archive = home.archive
    if not archive.exists():
        on_progress("making Apache Kafka's class archive (once, some seconds)")
        async with filling(archive.parent):
            if not archive.exists():
                await _make_archive(home, archive)
    if not archive.stat().st_size:
        return home
    return replace(home, archive_flags=(f"-XX:SharedArchiveFile={archive}", "-Xshare:auto"))


async def _make_archive(home: KafkaHome, archive: Path) -> None:
    """Run a broker to a clean end while Java records the classes it needs."""
    with tempfile.TemporaryDirectory(prefix="archive-", dir=archive.parent) as name:
        fresh = Path(name) / "kafka.jsa"
        recording = replace(home, archive_flags=(f"-XX:ArchiveClassesAtExit={fresh}",))
        async with ApacheKafka(Path(name), home=recording, grace_s=_RECORDING_GRACE_S) as broker:
            await _exercise(broker.bootstrap_servers)
        fresh.touch()
        fresh.chmod(0o644)
        fresh.rename(archive)


async def _exercise(bootstrap_servers: str) -> None:
    """Make a topic and produce to it, so that the classes for that are recorded too."""
    async with asyncio.timeout(_EXERCISE_WITHIN_S):
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
        await admin.start()
        try:
            await admin.create_topics([NewTopic("warm-up", 1, 1)])
        finally:
            await admin.close()
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, enable_idempotence=True)
        await producer.start()
        try:
            await producer.send_and_wait("warm-up", b"event")
        finally:
            await producer.stop()


def server_properties(directory: Path, ports: list[int], advertised_port: int | None) -> str:
    """The broker's settings file; `ports` are those of DIRECT, PROXIED and CONTROLLER."""
    direct, proxied, controller = ports
    one_each = (
        "transaction.state.log.replication.factor",
        "transaction.state.log.min.isr",
        "transaction.state.log.num.partitions",
        "share.coordinator.state.topic.replication.factor",
        "share.coordinator.state.topic.min.isr",
        "offsets.topic.replication.factor",
        "offsets.topic.num.partitions",
    )
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{LOOPBACK}:{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "DIRECT",
        "listeners": f"DIRECT://{LOOPBACK}:{direct},PROXIED://{LOOPBACK}:{proxied},"
        f"CONTROLLER://{LOOPBACK}:{controller}",
        "advertised.listeners": f"DIRECT://{LOOPBACK}:{direct},"
        f"PROXIED://{LOOPBACK}:{advertised_port or proxied}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,DIRECT:PLAINTEXT,PROXIED:PLAINTEXT",
        "log.dirs": str(directory / "data"),
        "num.partitions": "6",
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "broker.session.timeout.ms": "500",
        "broker.heartbeat.interval.ms": "100",
        "log.cleaner.dedupe.buffer.size": "2097152",
        "num.network.threads": "1",
        "num.io.threads": "2",
        **dict.fromkeys(one_each, "1"),
    }
    return "".join(f"{name}={escaped(value)}\n" for name, value in settings.items())
