"""Exit codes and one-line errors of the command line, seen from outside."""

import asyncio
import signal
import socket

import pytest

from tests.support.processes import run_once, running

OPEN = {"EQUILIBRIUM_AUTH": "open"}


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "words"),
    [
        (["--version"], {}, 0, "equilibrium 0."),
        (["nonsense"], {}, 2, "nonsense"),
        (["demo", "--kafka", "rabbit"], {}, 2, "rabbit"),
        (["demo", "--speed", "0"], {}, 2, "speed"),
        (["demo", "--trips", "nowhere.csv"], {}, 2, "nowhere.csv"),
        (["api"], {"EQUILIBRIUM_HTTP_PORT": "70000"}, 2, "EQUILIBRIUM_HTTP_PORT='70000'"),
        (["api"], {"EQUILIBRIUM_REDIS_URL": "http://u:geheim@h"}, 2, "EQUILIBRIUM_REDIS_URL"),
        (["api"], OPEN | {"EQUILIBRIUM_HTTP_HOST": "192.0.2.1"}, 2, "AUTH"),
        (["processor"], {"EQUILIBRIUM_TICK_S": "0"}, 2, "EQUILIBRIUM_TICK_S='0'"),
        (["check-config"], {"EQUILIBRIUM_REDIS_URL": "redis://h:99999"}, 2, "REDIS_URL"),
        (["migrate"], {"EQUILIBRIUM_DATABASE_URL": "postgresql://h:abc/x"}, 2, "DATABASE_URL"),
        (["api"], {"EQUILIBRIUM_KAFKA_BOOTSTRAP_SERVERS": "a:b"}, 2, "='a:b'"),
        (["check-config"], {"EQUILIBRIUM_ZONES_FILE": "nowhere.csv"}, 2, "nowhere.csv"),
        (["check-config"], {"EQUILIBRIUM_KEYS_FILE": __file__}, 2, "no file of keys"),
        (["api"], {"EQUILIBRIUM_KEYS_FILE": __file__}, 1, "no file of keys"),
        (["api"], {"EQUILIBRIUM_MODE_UP_DWELL_S": "-1"}, 2, "MODE_UP_DWELL_S='-1'"),
    ],
)
async def test_a_wrong_call_ends_with_its_code_and_one_line(
    arguments, settings, code, words, tmp_path
):
    got, printed = await run_once(*arguments, settings=settings, directory=tmp_path)
    assert (got, len(printed.splitlines())) == (code, 1), printed
    assert words in printed
    assert "geheim" not in printed


async def test_a_port_in_use_is_said_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for command, name in (("api", "HTTP_PORT"), ("processor", "PROCESSOR_PORT")):
            settings = {
                f"EQUILIBRIUM_{name}": port,
                "EQUILIBRIUM_STATE_DIR": str(tmp_path / "state"),
                "EQUILIBRIUM_LOG_LEVEL": "ERROR",
            }
            code, printed = await run_once(command, settings=settings, directory=tmp_path)
            assert code == 1
            assert f"cannot listen on 127.0.0.1:{port}" in printed.splitlines()[-1]
            assert "Traceback" not in printed


@pytest.mark.parametrize("command", ["api", "processor", "migrate"])
async def test_a_process_told_to_end_while_it_starts_ends_well(command, tmp_path):
    settings = {"EQUILIBRIUM_STATE_DIR": str(tmp_path / "state")}
    async with running(command, settings=settings, directory=tmp_path) as process:
        async with asyncio.timeout(60):
            while not process.heeds(signal.SIGTERM):
                await asyncio.sleep(0.01)
        assert await process.stop() == 0, process.log


async def test_a_password_in_a_query_is_masked_too(tmp_path):
    settings = {"EQUILIBRIUM_DATABASE_URL": "postgresql://me@db/x?password=geheim"}
    code, printed = await run_once("check-config", settings=settings, directory=tmp_path)
    assert (code, "geheim" in printed) == (0, False)


async def test_check_config_shows_every_setting_and_masks_secrets(tmp_path):
    settings = {"EQUILIBRIUM_DATABASE_URL": "postgresql://me:geheim@db/x", "EQUILIBRIUM_TYPO": "1"}
    code, printed = await run_once("check-config", settings=settings, directory=tmp_path)
    assert code == 0
    assert "geheim" not in printed
    assert "postgresql://me:********@db/x  (environment)" in printed
    assert "EQUILIBRIUM_TYPO is not a setting" in printed
    assert "EQUILIBRIUM_TICK_S" in printed


@pytest.mark.parametrize(
    "command", ["demo", "stack", "api", "processor", "migrate", "check-config"]
)
async def test_every_command_explains_itself_with_an_example(command, tmp_path):
    code, printed = await run_once(command, "--help", settings={}, directory=tmp_path)
    assert code == 0
    assert "Example:" in printed
