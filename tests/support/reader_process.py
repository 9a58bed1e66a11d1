"""A member of a consumer group that is made to be killed.

`python -m tests.support.reader_process BOOTSTRAP PREFIX GROUP SESSION_MS [INSTANCE_ID]` prints the
slots that are open, `open 0 2 4`, whenever that changes.
"""

from __future__ import annotations

import asyncio
import sys

from streaming.config import KafkaConfig
from streaming.consuming.consumer import LogReader, ReaderTiming
from streaming.topics import INPUTS, full_name
from tests.support.kafka_log import HOUR_MS, Reading, wall_ms


def timing_of(session_ms: int) -> ReaderTiming:
    return ReaderTiming(session_timeout_ms=session_ms, heartbeat_interval_ms=session_ms // 10)


async def main(
    bootstrap: str, prefix: str, group: str, session_ms: str, instance_id: str | None = None
) -> None:
    config = KafkaConfig(bootstrap_servers=bootstrap, topic_prefix=prefix)
    topics = [full_name(config, topic) for topic in INPUTS]
    timing = timing_of(int(session_ms))
    async with LogReader(
        config, topics, group, instance_id, rewind_ms=HOUR_MS, now_ms=wall_ms, timing=timing
    ) as reader:
        reading, told = Reading(reader), set[int]()
        while True:
            await reading.poll(0.1)
            if reading.open != told:
                told = set(reading.open)
                sys.stdout.write(f"open {' '.join(map(str, sorted(told)))}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
