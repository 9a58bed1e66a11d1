"""A backlog from the disk into Apache Kafka as fast as it goes, against sending and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.benchmark import Case
from benchmarks.kafka_site import KafkaSite, send_all
from fallback.pump import PumpConfig

_EVENTS = 120_000
_BARE_BATCH = 700
"""About 256 KiB: beyond that size nothing gets faster."""
_UNPACED = 1_000_000_000


class _Replay:
    name = "replay"
    what = (
        "Deliver a backlog from the spool's disk to Apache Kafka, unpaced: read, check, make "
        "batches, send, acknowledge. The baseline is the driver's `send_batch` alone, with "
        f"batches of {_BARE_BATCH} of the same events made beforehand. Six partitions, one batch "
        "of each under way, idempotent, acknowledged by all replicas."
    )
    unit = "event"
    rounds = 10

    def cases(self) -> Sequence[Case]:
        """Start a broker; `close` ends it."""
        self._site = site = KafkaSite()
        lanes: list[Sequence[Any]] = []
        partitions = site.config.partitions

        def make_batches() -> None:
            each = _EVENTS // partitions
            lanes[:] = [site.batches(number, each, _BARE_BATCH) for number in range(partitions)]

        def send_batches() -> None:
            site.run(send_all(site.producer, site.topic, lanes))

        config = PumpConfig(records_per_s=_UNPACED)
        return [
            Case(
                label="send_batch, batches ready",
                prepare=make_batches,
                run=send_batches,
                operations=_EVENTS,
            ),
            Case(
                label="spool to Kafka",
                prepare=lambda: site.run(site.fill(_EVENTS)),
                run=lambda: site.run(site.drain(config)),
                operations=_EVENTS,
            ),
        ]

    def close(self) -> None:
        """End the broker."""
        self._site.close()


BENCHMARK = _Replay()
