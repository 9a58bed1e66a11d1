"""Kills a server of the embedded stack on purpose, and brings back any that is down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from pricing.embedded import EmbeddedStack, Server, Tansu
from pricing.local.options import Fault, Target
from pricing.local.outages import bring_back, servers_by_target, take_down

_LOOK_EVERY_S: Final = 0.5


class Faults:
    """The planned faults of a demo, and a watch on the servers."""

    def __init__(
        self,
        stack: EmbeddedStack,
        plan: Sequence[Fault],
        *,
        say: Callable[[str], None],
        on_log_lost: Callable[[], None],
        down_s: float = 20.0,
    ) -> None:
        """`on_log_lost` is called when a broker that keeps its log in memory was started again."""
        self._servers = servers_by_target(stack)
        self._plan = plan
        self._say = say
        self._on_log_lost = on_log_lost
        self._down_s = down_s
        self._back_at: dict[Target, float] = {}

    @property
    def note(self) -> str:
        """Who is down on purpose, and for how long still."""
        now = asyncio.get_running_loop().time()
        return "; ".join(
            f"{target} is down on purpose, back in {max(0.0, at - now):.0f} s"
            for target, at in self._back_at.items()
        )

    async def run(self) -> None:
        """Carry out the plan, counted from now."""
        async with asyncio.TaskGroup() as faults:
            for fault in self._plan:
                faults.create_task(self._carry_out(fault))

    async def watch(self) -> None:
        """Start a server again that ended by itself, until cancelled. Raises `StartupError`."""
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            for target, server in self._servers.items():
                if target not in self._back_at and server.pid is None:
                    self._say(f"{server.title} ended by itself: starting it again")
                    await self._bring_back(server)

    async def _carry_out(self, fault: Fault) -> None:
        await asyncio.sleep(fault.at_s)
        # Two faults on one server: the first brings it back, at its own time.
        if fault.target in self._back_at:
            return
        server = self._servers[fault.target]
        loop = asyncio.get_running_loop()
        # Before the server is gone, or `watch` would start it again at once.
        self._back_at[fault.target] = loop.time() + self._down_s
        try:
            self._say(f"fault: {await self._break(server)}; it comes back in {self._down_s:.0f} s")
            await asyncio.sleep(self._down_s)
            await self._bring_back(server)
            self._say(f"fault over: {fault.target} is back")
        finally:
            del self._back_at[fault.target]

    async def _break(self, server: Server) -> str:
        """Take a server away; returns what was done to it, for people."""
        if await take_down(server) == "frozen":
            return f"{server.title} is frozen and answers nobody (--kafka apache is killed)"
        return f"{server.title} was killed"

    async def _bring_back(self, server: Server) -> None:
        is_new = server.pid is None
        await bring_back(server)
        if is_new and isinstance(server, Tansu):
            self._on_log_lost()
