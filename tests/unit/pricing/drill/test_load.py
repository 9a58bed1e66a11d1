from __future__ import annotations

import asyncio

import httpx2

from pricing.drill.load import PriceLoad
from tests.support.waiting import until


class HeldService:
    """Answers each request once it is let go, and then with this status."""

    def __init__(self) -> None:
        self.asked, self.let_go, self.status = 0, asyncio.Event(), 200

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked += 1
        await self.let_go.wait()
        return httpx2.Response(self.status, json={"source": "redis"}, request=request)


async def test_answer_under_way_at_a_look_is_in_the_next_one():
    service = HeldService()
    transport = httpx2.MockTransport(service)
    async with httpx2.AsyncClient(base_url="http://127.0.0.1", transport=transport) as client:
        load = PriceLoad(client, ["161"], per_s=0.001, monotonic=asyncio.get_running_loop().time)
        run = asyncio.create_task(load.run())
        await until(lambda: service.asked, "a request")
        assert not load.look().latencies_s
        service.status = 500
        service.let_go.set()
        found: list[str] = []
        await until(lambda: found.extend(load.look().failures) or found, "the answer")
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    assert found == ["status 500"]
