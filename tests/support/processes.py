"""The service's own processes, run as a user would, with a short event time for tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from streaming.config import KafkaConfig
from tests.support.surge_model import Windows

SHORT = {
    "EQUILIBRIUM_TICK_S": "1",
    "EQUILIBRIUM_DEMAND_WINDOW_S": "20",
    "EQUILIBRIUM_SUPPLY_WINDOW_S": "8",
    "EQUILIBRIUM_SUPPLY_HOLD_AFTER_S": "4",
    "EQUILIBRIUM_SUPPLY_UNKNOWN_AFTER_S": "12",
}
SHORT_WINDOWS = Windows(
    demand_ms=20_000, supply_ms=8_000, hold_after_ms=4_000, unknown_after_ms=12_000
)


class Running:
    """One process of ours. Its log is a file, for the message of a failed test."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def kill(self) -> None:
        """Kill -9."""
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; returns the exit code, which must come within 10 s."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            return await self._process.wait()

    async def ended(self, within_s: float) -> int:
        """Wait for it to end by itself; returns the exit code."""
        async with asyncio.timeout(within_s):
            return await self._process.wait()

    def heeds(self, number: signal.Signals) -> bool:
        """Whether it has set a handler for a signal: before that, the signal just ends it."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None


def environment(
    *, database_url: str, redis_url: str, kafka: KafkaConfig, state_dir: Path, **other: str
) -> dict[str, str]:
    """Settings that point a process at these servers; `other` are further variables."""
    return {
        "EQUILIBRIUM_DATABASE_URL": database_url,
        "EQUILIBRIUM_REDIS_URL": redis_url,
        "EQUILIBRIUM_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "EQUILIBRIUM_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "EQUILIBRIUM_KAFKA_PARTITIONS": str(kafka.partitions),
        "EQUILIBRIUM_KAFKA_IDEMPOTENCE": str(kafka.idempotence).lower(),
        "EQUILIBRIUM_STATE_DIR": str(state_dir),
        "EQUILIBRIUM_AUTH": "open",
        **other,
    }


@asynccontextmanager
async def running(
    *arguments: str, settings: Mapping[str, str], directory: Path
) -> AsyncIterator[Running]:
    """`equilibrium ARGUMENTS`; killed at the end if it still runs."""
    log = directory / f"{arguments[0]}-{uuid4().hex[:8]}.log"
    kept = {name: value for name, value in os.environ.items() if "EQUILIBRIUM_" not in name}
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error::ResourceWarning", "-m", "pricing", *arguments),
            env={**kept, **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    started = Running(process, log)
    try:
        yield started
    finally:
        if started.is_running:
            await started.kill()


async def run_once(
    *arguments: str, settings: Mapping[str, str], directory: Path, within_s: float = 60
) -> tuple[int, str]:
    """Run a command to its end; returns its exit code and everything that it printed."""
    async with running(*arguments, settings=settings, directory=directory) as process:
        code = await process.ended(within_s)
        return code, process.log
