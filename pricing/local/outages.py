"""Takes a server of the stack away on purpose, and brings it back."""

from __future__ import annotations

from typing import Literal

from pricing.embedded import EmbeddedStack, Server, Tansu
from pricing.local.options import Target


def servers_by_target(stack: EmbeddedStack) -> dict[Target, Server]:
    """The stack's servers under the names that faults and drills have for them."""
    return {"redis": stack.valkey, "database": stack.postgres, "kafka": stack.kafka}


async def take_down(server: Server) -> Literal["killed", "frozen"]:
    """Make a server answer nobody; says how that was done."""
    if isinstance(server, Tansu):
        # Its log is in memory. A broker that comes back without one is not what happens to
        # Kafka, and would say nothing about the service.
        server.freeze()
        return "frozen"
    await server.kill()
    return "killed"


async def bring_back(server: Server) -> None:
    """Let a server answer again, whichever way it was taken. Raises `StartupError`."""
    if server.pid is None:
        await server.start()
    else:
        server.thaw()
