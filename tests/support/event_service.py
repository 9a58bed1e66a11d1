"""An API process of one's own that takes events, and a client of it. Stores are not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from pricing.embedded import free_ports
from streaming.config import KafkaConfig
from tests.support.processes import Running, environment, run_once, running

RIDES = "/api/v1/events/ride-requests"


class Service:
    """An API process and a client of it."""

    def __init__(self, config: KafkaConfig, directory: Path, **other: str) -> None:
        """`other` are further settings."""
        self.port, redis, database = free_ports(3)
        self.directory = directory
        self.settings = environment(
            database_url=f"postgresql://nobody@127.0.0.1:{database}/none",
            redis_url=f"redis://127.0.0.1:{redis}/0",
            kafka=config,
            state_dir=directory / "state",
            **{
                "EQUILIBRIUM_HTTP_PORT": str(self.port),
                "EQUILIBRIUM_SPOOL_QUOTA_BYTES": "67108864",
                "EQUILIBRIUM_SPOOL_FREE_FLOOR_BYTES": "0",
                **other,
            },
        )

    @asynccontextmanager
    async def up(self) -> AsyncIterator[tuple[Running, httpx2.AsyncClient]]:
        address = f"http://127.0.0.1:{self.port}"
        async with (
            running("api", settings=self.settings, directory=self.directory) as process,
            httpx2.AsyncClient(base_url=address, timeout=10, verify=False) as client,
        ):
            await self._until_live(client)
            yield process, client

    async def _until_live(self, client: httpx2.AsyncClient) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    await client.get("/health/live")
                except httpx2.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    return

    async def command(self, *arguments: str) -> tuple[int, str]:
        return await run_once(*arguments, settings=self.settings, directory=self.directory)


async def post(client: httpx2.AsyncClient, count: int = 1, **headers: str) -> list[tuple[str, str]]:
    """Ids and statuses of new ride requests."""
    body = [{"zone_id": "161"} for _ in range(count)]
    response = await client.post(RIDES, json=body, headers=headers)
    assert response.status_code == 202, response.text
    return [(one["id"], one["status"]) for one in response.json()["data"]]
