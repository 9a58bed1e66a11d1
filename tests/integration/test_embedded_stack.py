"""The embedded stack as the demo and the operator's drills use it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from pricing.embedded import EmbeddedStack, Postgres, StackConfig, Valkey, free_ports, wheels
from pricing.embedded.process import is_alive
from pricing.errors import StartupError
from tests.support.waiting import until

NOBODY = 65_534
PROC = Path("/proc")


def stack_on(directory: Path) -> EmbeddedStack:
    return EmbeddedStack(StackConfig(data_dir=directory))


async def sql(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


def command_lines(stack: EmbeddedStack) -> list[Path]:
    paths = [PROC / str(server.pid) / "cmdline" for server in stack.servers]
    return [path for path in paths if path.exists()]


def holds(path: Path, words: list[bytes]) -> bool:
    return any(word in path.read_bytes() for word in words)


async def redis(url: str, *words: str) -> object:
    client = Redis.from_url(url, socket_timeout=5, decode_responses=True)
    try:
        return await client.execute_command(*words)
    finally:
        await client.aclose()


async def test_stack_gives_the_settings_of_servers_that_answer(own_directory):
    told: list[str] = []
    config = StackConfig(data_dir=own_directory)
    async with EmbeddedStack(config, on_progress=told.append) as stack:
        settings = stack.environment()
        assert await sql(settings["EQUILIBRIUM_DATABASE_URL"], "SELECT 1") == 1
        assert await redis(settings["EQUILIBRIUM_REDIS_URL"], "PING")
        assert settings["EQUILIBRIUM_KAFKA_BOOTSTRAP_SERVERS"] == stack.kafka.address
        assert settings["EQUILIBRIUM_KAFKA_IDEMPOTENCE"] == "false"
        assert settings["EQUILIBRIUM_KAFKA_REPLICATION"] == "1"
        assert all(20_000 <= server.port < 32_768 for server in stack.servers)
    assert len(told) == 3


async def test_data_survives_a_restart_of_the_stack(prepared_directory):
    async with stack_on(prepared_directory) as stack:
        await sql(stack.postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        await redis(stack.valkey.url, "SET", "kept", "42")
    async with stack_on(prepared_directory) as stack:
        assert await sql(stack.postgres.url, "SELECT answer FROM kept") == 42
        assert await redis(stack.valkey.url, "GET", "kept") == "42"


async def test_stack_stops_cleanly_and_leaves_nothing(prepared_directory):
    async with stack_on(prepared_directory) as stack:
        pids = [server.pid for server in stack.servers]
        stopping = [stack.postgres._process, stack.valkey._process]
    assert [process.exit_code for process in stopping] == [0, 0]  # none had to be killed
    assert not any(map(is_alive, pids))
    assert [server.pid for server in stack.servers] == [None] * 3


async def test_second_stack_on_a_directory_is_refused_in_one_line(prepared_directory):
    async with stack_on(prepared_directory) as stack:
        with pytest.raises(StartupError, match=f"in use .*process {os.getpid()}.*--data-dir") as no:
            await stack_on(prepared_directory).__aenter__()
        assert "\n" not in str(no.value)
        assert await sql(stack.postgres.url, "SELECT 1") == 1


@pytest.mark.parametrize("fault", ["kill", "stop"])
async def test_server_comes_back_at_its_address_with_its_data(prepared_directory, fault):
    async with stack_on(prepared_directory) as stack:
        before = stack.environment()
        await sql(stack.postgres.url, "CREATE TABLE kept AS SELECT 42 AS answer")
        await redis(stack.valkey.url, "SET", "kept", "42")
        for server in stack.servers:
            pid = server.pid
            await getattr(server, fault)()
            assert server.pid is None
            assert not is_alive(pid)
            await server.start()
        assert stack.environment() == before
        assert await sql(stack.postgres.url, "SELECT answer FROM kept") == 42
        assert await redis(stack.valkey.url, "GET", "kept") == "42"


async def test_wrong_passwords_are_refused(postgres, valkey_server):
    with pytest.raises(asyncpg.InvalidPasswordError):
        await sql(f"postgresql://equilibrium:wrong@{postgres.address}/equilibrium", "SELECT 1")
    with pytest.raises(RedisError):
        await redis(f"redis://{valkey_server.address}", "PING")
    with pytest.raises(AuthenticationError):
        await redis(f"redis://:wrong@{valkey_server.address}", "PING")


async def test_passwords_stand_in_private_files_alone(own_directory):
    async with stack_on(own_directory) as stack:
        urls = (stack.postgres.url, stack.valkey.url)
        passwords = [urlsplit(url).password.encode() for url in urls]
        assert len(set(passwords)) == 2
        assert not any(holds(path, passwords) for path in command_lines(stack))
    holders = [path for path in files(own_directory) if holds(path, passwords)]
    assert {path.name for path in holders} == {"passwords.json", "valkey.conf"}
    assert all(path.stat().st_mode & 0o077 == 0 for path in holders)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give processes to another user")
async def test_servers_of_root_run_as_nobody(prepared_directory):
    async with stack_on(prepared_directory) as stack:
        for server in stack.servers:
            assert (PROC / str(server.pid)).stat().st_uid == NOBODY


async def test_frozen_server_is_silent_until_thawed(own_valkey):
    own_valkey.freeze()
    asking = asyncio.create_task(redis(own_valkey.url, "PING"))
    done, _ = await asyncio.wait([asking], timeout=0.1)
    assert not done
    own_valkey.thaw()
    assert await asking


async def test_failed_start_stops_the_others_and_frees_the_directory(prepared_directory):
    version = prepared_directory / "postgres/data/PG_VERSION"
    version.write_text("9\n")
    stack = stack_on(prepared_directory)
    with pytest.raises(StartupError, match=r"PostgreSQL cannot start: .*incompatible") as caught:
        await stack.__aenter__()
    assert "\n" not in str(caught.value)
    assert [server.pid for server in stack.servers] == [None] * 3
    version.write_text("18\n")
    async with stack_on(prepared_directory):
        pass


async def test_lost_password_file_is_refused_in_one_line(prepared_directory):
    (prepared_directory / "passwords.json").unlink()
    with pytest.raises(StartupError, match=r"PostgreSQL refuses .*passwords\.json: restore"):
        await stack_on(prepared_directory).__aenter__()


@pytest.mark.parametrize(("make", "name"), [(Postgres, "postgres"), (Valkey, "valkey")])
async def test_taken_port_is_named_when_a_server_comes_back(prepared_directory, make, name):
    server = make(prepared_directory / name)
    await server.start()
    await server.stop()
    thief = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", server.port)
    async with thief:
        with pytest.raises(StartupError, match=f"another program took its port {server.port}"):
            await server.start()
    assert server.pid is None
    async with server:
        assert server.pid


async def test_taken_port_at_the_first_start_is_replaced(own_directory, monkeypatch):
    taken, free = free_ports(2)
    offers = iter([[taken], [free]])
    monkeypatch.setattr("pricing.embedded.server.free_ports", lambda _: next(offers))
    thief = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", taken)
    async with thief, Valkey(own_directory / "valkey") as server:
        assert server.port == free


async def test_server_that_never_answers_is_ended_and_named(own_directory, monkeypatch):
    async def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(Valkey, "_answers", never)
    server = Valkey(own_directory / "valkey", ready_within_s=0.2)
    with pytest.raises(StartupError, match=r"Valkey cannot start: no answer within 0\.2 s"):
        await server.start()
    assert server.pid is None


async def test_cancelled_start_leaves_nothing(own_directory, monkeypatch):
    # Then the programs are copied, and the longest copy is still under way when a server is up.
    monkeypatch.setattr(wheels, "reachable", lambda _: False)
    stack = stack_on(own_directory)
    starting = asyncio.create_task(stack.__aenter__())
    await until(lambda: any(server.pid for server in stack.servers), "a server is up")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert [server.pid for server in stack.servers] == [None] * 3
    async with stack_on(own_directory):
        pass
