"""Waits, settings and a bounded end."""

from __future__ import annotations

import asyncio
import ssl
from itertools import islice

import pytest

from streaming.config import KafkaConfig
from streaming.connection import client_settings, finish_within, growing_waits


def test_waits_grow_to_three_seconds_and_differ():
    waits = list(islice(growing_waits(), 12))
    longest = [min(0.1 * 2**attempt, 3) for attempt in range(12)]
    assert all(top / 2 <= wait <= top for wait, top in zip(waits, longest, strict=True))
    assert waits != list(islice(growing_waits(), 12))


def test_plain_settings_hold_no_secrets():
    settings = client_settings(KafkaConfig(bootstrap_servers="a:1,b:2", request_timeout_ms=500))
    assert settings["bootstrap_servers"] == "a:1,b:2"
    assert settings["request_timeout_ms"] == 500
    assert not [name for name in settings if name.startswith(("sasl", "ssl"))]


def test_sasl_settings_default_to_plain():
    config = KafkaConfig(security_protocol="SASL_PLAINTEXT", sasl_username="u", sasl_password="p")
    settings = client_settings(config)
    assert settings["sasl_mechanism"] == "PLAIN"
    assert (settings["sasl_plain_username"], settings["sasl_plain_password"]) == ("u", "p")


def test_tls_settings_check_the_server():
    context = client_settings(KafkaConfig(security_protocol="SSL"))["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_tls_settings_without_the_ca_file_say_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        client_settings(KafkaConfig(security_protocol="SSL", ca_file=str(tmp_path / "none.pem")))


async def test_work_that_ends_is_finished():
    assert await finish_within(asyncio.sleep(0), 1)


async def test_work_that_hangs_is_cancelled():
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    assert not await finish_within(hang(), 0.01)
    assert cancelled.is_set()


@pytest.mark.parametrize("error", [OSError(), asyncio.CancelledError()], ids=repr)
async def test_work_that_raises_is_not_finished(error):
    async def fail() -> None:
        raise error

    assert not await finish_within(fail(), 1)
