"""A process that drains a spool: `python -m tests.support.pump_process DIRECTORY BOOTSTRAP PREFIX`.

Prints a line whenever records were acknowledged, and `drained` at the end. It is made to be killed.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fallback.pump import PumpConfig
from streaming.config import KafkaConfig
from tests.support.pumped import pumped


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(directory: str, bootstrap_servers: str, prefix: str) -> None:
    config = KafkaConfig(bootstrap_servers=bootstrap_servers, topic_prefix=prefix)
    pump_config = PumpConfig(batch_records=100)
    async with pumped(config, Path(directory), pump_config=pump_config) as path:
        told = -1
        while path.spool.stats().records:
            if path.pump.stats().sent > told:
                told = path.pump.stats().sent
                say(f"sent {told}")
            await asyncio.sleep(0.005)
    say("drained")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
