"""An API process whose publisher waits to be told: `python -m tests.support.api_process 0.5 2`.

The arguments are how long it takes requests once it drains, and how long those may take then, in s.
Prints `listening PORT`, then `publishing` for each request to take events. Each such request
is answered once a line comes in on standard input.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from pricing.api.server import ServerConfig, serve
from pricing.logs import configure_logs
from pricing.ports import Receipt
from streaming.events.event_types import Event
from tests.support.api import World
from tests.support.publisher import MemoryPublisher


class ToldPublisher(MemoryPublisher):
    def __init__(self, told: asyncio.StreamReader) -> None:
        super().__init__()
        self._told = told

    async def publish(self, topic: str, events: Sequence[Event]) -> Sequence[Receipt]:
        say("publishing")
        await self._told.readline()
        return await super().publish(topic, events)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main(drain_delay_s: float, grace_s: int) -> None:
    configure_logs("INFO", "json")
    told = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    world = World(publisher=ToldPublisher(told))
    await serve(
        world.app,
        "127.0.0.1",
        0,
        drain=world.dependencies.drain,
        config=ServerConfig(drain_delay_s=drain_delay_s, grace_s=grace_s),
        on_started=lambda port: say(f"listening {port}"),
    )
    say("closed in order")


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]), int(sys.argv[2])))
