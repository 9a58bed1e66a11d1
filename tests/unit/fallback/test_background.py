"""Work beside a block: ends with it, is told of when it breaks, and breaks nothing itself."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from fallback.background import in_background
from tests.support.waiting import until


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("work")


async def broken() -> None:
    raise RuntimeError("broken")


async def test_work_ends_with_the_block():
    before, ended = asyncio.all_tasks(), []
    async with in_background("work", forever(ended), forever(ended)):
        await asyncio.sleep(0)
        assert len(asyncio.all_tasks() - before) == 2
    assert ended == ["work", "work"]
    assert asyncio.all_tasks() == before


async def test_what_the_block_raises_comes_out_as_it_is():
    ended: list[str] = []

    async def block() -> None:
        async with in_background("work", forever(ended)):
            await asyncio.sleep(0)
            raise ValueError("of the block")

    with pytest.raises(ValueError, match="of the block"):
        await block()
    assert ended == ["work"]


async def test_work_that_breaks_is_told_of_at_once_and_the_block_goes_on():
    with capture_logs() as logs:
        async with in_background("refresh", broken()):
            await until(lambda: bool(logs), "the break is told of")
    (line,) = logs
    assert (line["work"], line["log_level"]) == ("refresh", "error")
    assert isinstance(line["exc_info"], RuntimeError)


async def test_work_that_was_ended_with_the_block_is_not_told_of():
    with capture_logs() as logs:
        async with in_background("work", forever([])):
            await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert logs == []
