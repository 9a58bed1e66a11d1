"""How a server process ends: real signals, real sockets."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from pricing.api.app import Drain
from pricing.api.server import ServerConfig, serve
from pricing.errors import StartupError
from tests.support.api import World

ROOT = Path(__file__).parents[2]
RIDES = "/api/v1/events/ride-requests"


class ApiProcess:
    def __init__(self, process):
        self.process = process
        self.url = ""

    async def line(self):
        async with asyncio.timeout(60):
            return (await self.process.stdout.readline()).decode().strip()

    def tell(self):
        self.process.stdin.write(b"go\n")

    async def exit_code(self):
        async with asyncio.timeout(60):
            return await self.process.wait()


@asynccontextmanager
async def api_process(*, drain_delay_s=0.5, grace_s=2):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.api_process",
        str(drain_delay_s),
        str(grace_s),
        cwd=ROOT,
        stdin=PIPE,
        stdout=PIPE,
    )
    api = ApiProcess(process)
    try:
        word, port = (await api.line()).split()
        assert word == "listening"
        api.url = f"http://127.0.0.1:{port}"
        yield api
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_draining(client):
    async with asyncio.timeout(60):
        while (response := await client.get("/health/ready")).status_code == 200:
            await asyncio.sleep(0.01)
        return response


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_an_idle_process_in_order(number):
    async with api_process() as api:
        api.process.send_signal(number)
        assert await api.line() == "closed in order"
        assert await api.exit_code() == 0


async def test_request_under_way_is_answered_while_readiness_says_draining():
    # A grace that outlasts the test, and a delay in which a busy machine can still ask.
    async with (
        api_process(drain_delay_s=2, grace_s=60) as api,
        httpx2.AsyncClient(base_url=api.url, verify=False) as client,
    ):
        request = asyncio.create_task(client.post(RIDES, json={"zone_id": "z1"}))
        assert await api.line() == "publishing"
        api.process.send_signal(signal.SIGTERM)
        async with httpx2.AsyncClient(base_url=api.url, verify=False) as prober:
            unready = await until_draining(prober)
        assert (unready.status_code, unready.json()["reasons"]) == (503, ["draining"])
        api.tell()
        assert (await request).status_code == 202
        assert await api.line() == "closed in order"
        assert await api.exit_code() == 0


async def test_request_that_never_ends_is_cut_off_and_the_exit_is_still_in_order():
    async with api_process() as api, httpx2.AsyncClient(base_url=api.url, verify=False) as client:
        request = asyncio.create_task(client.post(RIDES, json={"zone_id": "z1"}))
        assert await api.line() == "publishing"
        api.process.send_signal(signal.SIGTERM)
        response = await request
        assert response.status_code == 503
        assert response.json()["type"] == "urn:equilibrium:problem:shutting-down"
        assert await api.line() == "closed in order"
        assert await api.exit_code() == 0


async def test_second_signal_does_not_wait_for_requests():
    # Whoever waited for the request would outlast the test.
    async with (
        api_process(drain_delay_s=600, grace_s=600) as api,
        httpx2.AsyncClient(base_url=api.url, verify=False) as client,
    ):
        request = asyncio.create_task(client.post(RIDES, json={"zone_id": "z1"}))
        assert await api.line() == "publishing"
        api.process.send_signal(signal.SIGINT)
        async with httpx2.AsyncClient(base_url=api.url, verify=False) as prober:
            await until_draining(prober)
        api.process.send_signal(signal.SIGINT)
        assert await api.exit_code() == 0
        assert (await request).status_code == 503


async def test_drain_begun_by_somebody_else_ends_the_server():
    world = World()
    port = asyncio.get_running_loop().create_future()
    config = ServerConfig(drain_delay_s=0, handles_signals=False)
    serving = asyncio.create_task(
        serve(
            world.app,
            "127.0.0.1",
            0,
            drain=world.dependencies.drain,
            config=config,
            on_started=port.set_result,
        )
    )
    async with asyncio.timeout(60), httpx2.AsyncClient(verify=False) as client:
        answer = await client.get(f"http://127.0.0.1:{await port}/api/v1/zones/z1/price")
        assert answer.json()["source"] == "default"
        world.dependencies.drain.begin()
        await serving


async def test_port_in_use_is_one_line_that_says_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError) as refusal:
            await serve(World().app, "127.0.0.1", port, drain=Drain())
    message = str(refusal.value)
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in message
    assert "EQUILIBRIUM_HTTP_PORT" in message
    assert "\n" not in message


async def test_address_of_another_machine_is_one_line():
    with pytest.raises(StartupError, match=r"cannot listen on 192\.0\.2\.1:0: cannot assign"):
        await serve(World().app, "192.0.2.1", 0, drain=Drain())


@pytest.mark.parametrize("wrong", [{"drain_delay_s": -1}, {"grace_s": 0}, {"keep_alive_s": 0}])
def test_config_out_of_range_names_the_value(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ServerConfig(**wrong)
