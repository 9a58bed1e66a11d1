"""What a paced replay does to whoever shares its event loop."""

from __future__ import annotations

import asyncio
import gc
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from benchmarks.benchmark import Reading
from benchmarks.kafka_site import KafkaSite
from fallback.pump import PumpConfig

_SECONDS = 0.8
_WARM_S = 0.1
_BATCH = 100
_ROUND_S = 0.02
_STAMP = struct.Struct("q")
# Its own time stamps, because a timer of the loop is only as fine as a millisecond.
_CALLER = """
import os, random, struct, time
while True:
    time.sleep(random.uniform(0.001, 0.003))
    os.write(1, struct.pack("q", time.monotonic_ns()))
"""


class _ReplayLag:
    name = "replay-lag"
    rate = PumpConfig().records_per_s
    what = (
        "From the moment when another process writes to a pipe until the event loop has read it, "
        f"99th percentile: idle, while prebuilt batches go to Apache Kafka at {rate:,} events/s, "
        "and while the pump replays a backlog at that pace, its default. One machine runs both "
        "and the broker."
    )
    unit = "ms"
    rounds = 15

    def cases(self) -> Sequence[Reading]:
        """Start a broker; `close` ends it."""
        self._site = site = KafkaSite()
        lanes: list[Sequence[Any]] = []

        def make_batches() -> None:
            each = int(self.rate * (_SECONDS + 2 * _WARM_S)) // site.config.partitions
            lanes[:] = [site.batches(n, each, _BATCH) for n in range(site.config.partitions)]

        def lag_during(work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], float]:
            return lambda: site.run(_lag_during(work()))

        backlog = int(self.rate * (_SECONDS + 4 * _WARM_S))
        return [
            Reading(label="idle", run=lag_during(_idle)),
            Reading(
                label="send_batch, batches ready",
                prepare=make_batches,
                run=lag_during(lambda: _send_paced(site, lanes, self.rate)),
            ),
            Reading(
                label="spool to Kafka",
                prepare=lambda: site.run(site.fill(backlog)),
                run=lag_during(lambda: _replay(site)),
            ),
        ]

    def close(self) -> None:
        """End the broker."""
        self._site.close()


async def _idle() -> None:
    await asyncio.Event().wait()


async def _replay(site: KafkaSite) -> None:
    async with site.pump(PumpConfig()):
        await asyncio.Event().wait()


async def _send_paced(site: KafkaSite, lanes: Sequence[Sequence[Any]], rate: int) -> None:
    """One round of batches every 20 ms, as the pump's lanes travel under load."""
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    queue = [
        (number, batch)
        for batches in zip(*lanes, strict=True)
        for number, batch in enumerate(batches)
    ]
    in_round = int(rate * _ROUND_S) // _BATCH
    for first in range(0, len(queue), in_round):
        for partition, batch in queue[first : first + in_round]:
            await site.producer.send_batch(batch, site.topic, partition=partition)
        due_s += _ROUND_S
        await asyncio.sleep(due_s - loop.time())


def _start_caller() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _CALLER], stdout=subprocess.PIPE)


async def _lag_during(work: Coroutine[Any, Any, None]) -> float:
    """The 99th percentile, in ms, from when the work has begun."""
    # As the service does once it has started: what was made before is no work of the collector.
    gc.collect()
    gc.freeze()
    caller = _start_caller()
    assert caller.stdout is not None
    pipe, lags, calls = caller.stdout.fileno(), list[int](), asyncio.Event()

    def read() -> None:
        (sent_ns,) = _STAMP.unpack(os.read(pipe, _STAMP.size))
        lags.append(time.monotonic_ns() - sent_ns)
        calls.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(pipe, read)
    await calls.wait()  # a process takes its time to start, and the batches do not last for ever
    task = asyncio.create_task(work)
    await asyncio.sleep(_WARM_S)
    lags.clear()
    await asyncio.sleep(_SECONDS)
    loop.remove_reader(pipe)
    caller.kill()
    caller.communicate()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    gc.unfreeze()
    return sorted(lags)[len(lags) * 99 // 100] / 1e6


BENCHMARK = _ReplayLag()
