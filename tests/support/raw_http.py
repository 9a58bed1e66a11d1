"""HTTP clients that cost next to nothing, for tests in which the load must not be the limit."""

from __future__ import annotations

import asyncio
import heapq
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import orjson

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class Timed:
    """Answers as they came: when the request left and how long it took, monotonic seconds."""

    began_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    def before(self, moment_s: float) -> list[float]:
        """How long those took that left before a moment."""
        pairs = zip(self.began_s, self.took_s, strict=True)
        return [took for began, took in pairs if began < moment_s]


async def read_in_turn(
    port: int, paths: Iterator[str], until: asyncio.Event, seen: Timed, pause_s: float = 0.0
) -> None:
    """Get these one after another on one connection; each must be answered with 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        while not until.is_set():
            path = next(paths)
            began_s = time.monotonic()
            writer.write(_request(path))
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
            seen.took_s.append(time.monotonic() - began_s)
            seen.began_s.append(began_s)
            assert head.startswith(b"HTTP/1.1 200"), (head, body)
            _check(path, body)
            await asyncio.sleep(pause_s)
    finally:
        writer.close()


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of the values do not exceed; there must be one."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


async def cancel_requests(port: int, paths: Sequence[str], rate: int, seconds: float) -> float:
    """Send requests at a rate, each cancelled within a few ms; returns the rate reached.

    In a process of its own, so that it does not wait for what else the test does.
    """
    command = (sys.executable, __file__, str(port), str(rate), str(seconds), *paths)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    told, _ = await process.communicate()
    assert process.returncode == 0
    return float(told)


def _cancel(port: int, rate: int, seconds: float, paths: Sequence[str]) -> float:
    dice = random.Random(7)
    pending: list[tuple[float, int, socket.socket]] = []
    sent, began_s = 0, time.monotonic()
    while (gone_s := time.monotonic() - began_s) < seconds:
        while sent < gone_s * rate:
            client = socket.socket()
            client.connect(("127.0.0.1", port))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            client.sendall(_request(dice.choice(paths)))
            sent += 1
            heapq.heappush(pending, (gone_s + dice.uniform(0, 0.004), sent, client))
        while pending and pending[0][0] <= time.monotonic() - began_s:
            heapq.heappop(pending)[2].close()
        time.sleep(0.0005)
    for _, _, client in pending:
        client.close()
    return sent / seconds


def _request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode()


def _check(path: str, body: bytes) -> None:
    """A price must be that of the zone that was asked for."""
    if path.endswith("/price"):
        zone_id = orjson.loads(body)["data"]["zone_id"]
        assert path == f"/api/v1/zones/{zone_id}/price", "somebody else's answer"


if __name__ == "__main__":
    sys.stdout.write(
        str(_cancel(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:]))
    )
