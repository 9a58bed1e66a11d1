"""A consumer group whose members are killed, and whose broker is away for long.

`READER_OUTAGE_S=30` makes the outage as long as the promise says; `-s` shows the figures.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from streaming.config import KafkaConfig
from streaming.consuming.consumer import LogReader
from streaming.events.codec import decode
from streaming.topics import INPUTS, ensure_topics, full_name
from tests.support.kafka_log import HOUR_MS, Reading, event_producer, ride_requests, wall_ms
from tests.support.reader_process import timing_of
from tests.support.servers import kafka_config_for
from tests.support.waiting import WITHIN_S

OUTAGE_S = float(os.environ.get("READER_OUTAGE_S", "6"))
SESSION_MS = 3_000
SLOTS = 6
HALF = SLOTS // 2


@pytest.fixture
async def config(kafka_to_hurt, topic_prefix) -> KafkaConfig:
    config = kafka_config_for(kafka_to_hurt, topic_prefix, request_timeout_ms=1_500)
    await ensure_topics(config, timeout_s=20)
    return config


def group_of(config: KafkaConfig) -> str:
    return f"{config.topic_prefix}group"


def reader_of(config: KafkaConfig, instance_id: str | None = None) -> LogReader:
    topics = [full_name(config, topic) for topic in INPUTS]
    timing = timing_of(SESSION_MS)
    return LogReader(
        config,
        topics,
        group_of(config),
        instance_id,
        rewind_ms=HOUR_MS,
        now_ms=wall_ms,
        timing=timing,
    )


class Member:
    """A reader in a process of its own, and the slots that it says it has."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.open: set[int] = set()
        self._hearing = asyncio.create_task(self._hear())

    async def _hear(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            word, *slots = line.split()
            if word == b"open":  # all else is its log
                self.open = set(map(int, slots))

    async def kill(self) -> None:
        """Kill -9, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._hearing


@asynccontextmanager
async def member(config: KafkaConfig, instance_id: str = "") -> AsyncIterator[Member]:
    words = [config.bootstrap_servers, config.topic_prefix, group_of(config), str(SESSION_MS)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.support.reader_process", *words, *filter(None, [instance_id])),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    started = Member(process)
    try:
        yield started
    finally:
        await started.kill()


async def poll_until(reading: Reading, condition, within_s: float = WITHIN_S) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await reading.poll(0.1)


async def test_killed_members_slots_go_to_the_other_after_its_session(config):
    async with reader_of(config) as reader, member(config) as other:
        reading = Reading(reader)
        await poll_until(reading, lambda: len(reading.open) == len(other.open) == HALF)
        await other.kill()
        killed_s = time.monotonic()
        await poll_until(reading, lambda: len(reading.open) == SLOTS)
        took_s = time.monotonic() - killed_s
    sys.stdout.write(f"\ntaken over after {took_s:.1f} s, session {SESSION_MS / 1000:g} s\n")
    assert took_s < SESSION_MS / 1000 + 4  # 1 s on a machine of one's own


async def test_static_member_that_is_killed_and_comes_back_moves_nothing(config):
    async with reader_of(config, "stays") as reader:
        reading = Reading(reader)
        async with member(config, "comes-back") as first:
            await poll_until(reading, lambda: len(reading.open) == len(first.open) == HALF)
            shares, openings = (set(reading.open), set(first.open)), reading.openings
            await first.kill()
        async with member(config, "comes-back") as again:
            await poll_until(reading, lambda: len(again.open) == HALF)
            assert (reading.open, again.open) == shares
        assert reading.openings == openings


@pytest.mark.timeout(OUTAGE_S + 90)
@pytest.mark.parametrize("instance_id", [None, pytest.param("static", marks=pytest.mark.soak)])
async def test_outage_brings_every_event_once_and_no_slot_moves(kafka_to_hurt, config, instance_id):
    topic = full_name(config, INPUTS[0])
    async with (
        event_producer(config) as producer,
        reader_of(config, instance_id) as reader,
    ):
        reading = Reading(reader)
        await producer.send(topic, ride_requests(range(100), keys=24), timeout_s=10)
        await poll_until(reading, lambda: len(reading.records) == 100)
        await kafka_to_hurt.kill()
        began_s = time.monotonic()
        await poll_until(reading, lambda: time.monotonic() - began_s > OUTAGE_S, OUTAGE_S + 10)
        await kafka_to_hurt.start()
        await producer.send(topic, ride_requests(range(100, 200), keys=24), timeout_s=20)
        await poll_until(reading, lambda: len(numbers_of(reading)) >= 200)
        await reading.poll(0.5)
        assert sorted(numbers_of(reading)) == list(range(200))
        assert reading.openings == SLOTS


def numbers_of(reading: Reading) -> list[int]:
    return [int(decode(record).event.data["request_id"]) for record in reading.records]
